#!/bin/sh
# deps.sh GROUP - make sure that the Debian packages of a group of make targets are installed: as root install what is missing,
# else print the one command that does.
set -eu
fakeroot=
[ "$(id -u)" -eq 0 ] || fakeroot=" fakeroot uidmap"
case $1 in
build) need="gcc binutils make python3" ;;
clang) need="clang lld binutils make python3" ;;
run) need="gcc binutils make python3 qemu-system-x86 musl-tools cpio" ;;
console) need="gcc musl-tools cpio python3 libtsm-dev unifont" ;;
display) need="qemu-system-gui" ;;
image) need="mmdebstrap e2fsprogs python3 debian-archive-keyring$fakeroot" ;;
gdb) need="qemu-system-x86 python3 gdb" ;;
test) need="gcc clang libclang-rt-dev lld perl e2fsprogs mmdebstrap libcmocka-dev musl-tools cpio qemu-system-x86 ovmf grub-common grub-pc-bin
	grub-efi-amd64-bin mtools xorriso gdb" ;;
lint) need="git clang-format cppcheck universal-ctags python3 mandoc" ;;
coverage) need="gcc libcmocka-dev" ;;
*) echo "deps.sh: no group named $1" >&2; exit 2 ;;
esac
missing=
for package in $need; do
	dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" -eq 0 ]; then
	echo "deps.sh: installing$missing"
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq
	# shellcheck disable=SC2086
	exec apt-get install -y -qq --no-install-recommends $missing
fi
echo "Packages are missing. Run this, then make again:" >&2
echo "  sudo apt-get update && sudo apt-get install -y --no-install-recommends$missing" >&2
exit 1
