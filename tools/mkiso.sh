#!/bin/sh
# mkiso.sh KERNEL INITRD OUT [ARGS] - an ISO that GRUB boots on BIOS and on UEFI; INITRD "-": none. ARGS: kernel command line.
set -eu
kernel=$1 initrd=$2 out=$3 args=${4-}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir -p "$dir/boot/grub" "$(dirname "$out")"
strip --strip-debug -o "$dir/boot/quire.elf" "$kernel"
{
	echo "insmod all_video"
	echo "multiboot2 /boot/quire.elf $args"
	if [ "$initrd" != - ]; then
		cp "$initrd" "$dir/boot/initrd.cpio"
		echo "module2 /boot/initrd.cpio initrd"
	fi
	echo boot
} > "$dir/boot/grub/grub.cfg"
grub-mkrescue -o "$out" --fonts= --locales= --themes= "$dir" > "$dir.log" 2>&1 || { cat "$dir.log" >&2; rm -f "$dir.log"; exit 1; }
rm -f "$dir.log"
