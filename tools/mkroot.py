#!/usr/bin/env python3
"""mkroot.py - make root file systems of Debian 12's packages: an ext2 image for the guest, and the same tree unpacked on the host.

  mkroot.py base                what a shell user needs
  mkroot.py full                every program that the tests run, compilers included
  mkroot.py base --package jq   with further packages

What is made lies under build/root/, named by a key over everything that goes into it, so that it is made once: NAME-KEY.img is the image,
NAME-KEY.dir the tree (made by root only; else there is just the image). Work happens under another name and is renamed when it is
complete: what has its final name is whole. The packages come from the Debian sources in this machine's apt configuration; where it has none (it
is not a Debian 12), from those that mmdebstrap knows. The last line on standard output is the image's path (with --tree: the tree's).
"""
import contextlib
import fcntl
import glob
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
STORE = os.path.join(ROOT, "build", "root")
RELEASE = "bookworm"
FORMAT = 1  # counts up when what is made of the same packages changes in a way that the key does not see

BASE = """bash dash coreutils findutils grep sed gawk diffutils tar gzip less procps util-linux bsdutils bsdextrautils mount login
	figlet busybox bc vim-tiny ncurses-base ncurses-bin hostname""".split()
FULL = [*BASE, *"perl python3 lua5.4 sqlite3 gcc libc6-dev binutils make vim file psmisc patch xz-utils bzip2 time".split()]
IMAGES = {"base": BASE, "full": FULL}

# Documentation and translations are most of a small system; nobody reads them there.
DPKG_OPTIONS = [f"path-exclude=/usr/share/{d}/*" for d in ("doc", "man", "info", "locale", "lintian", "doc-base", "bug")]
APT_OPTIONS = ["Acquire::Languages none", "Acquire::Retries 3"]

BASHRC = r"""# ~/.bashrc - for interactive shells.
case $- in *i*) ;; *) return ;; esac
HISTSIZE=1000
shopt -s checkwinsize
PS1='\[\e[1;32m\]\u@\h\[\e[0m\]:\[\e[1;34m\]\w\[\e[0m\]\$ '
alias ls='ls --color=auto' ll='ls -l --color=auto' grep='grep --color=auto'
"""
PROFILE = """# ~/.profile - for login shells.
[ -n "$BASH_VERSION" ] && [ -f ~/.bashrc ] && . ~/.bashrc
"""
FSTAB = """# device  where     type      options              dump pass
/dev/vda  /         ext2      defaults             0    1
proc      /proc     proc      nosuid,nodev,noexec  0    0
sysfs     /sys      sysfs     nosuid,nodev,noexec  0    0
devtmpfs  /dev      devtmpfs  mode=0755,nosuid     0    0
devpts    /dev/pts  devpts    mode=0620,gid=5      0    0
tmpfs     /dev/shm  tmpfs     mode=1777            0    0
tmpfs     /run      tmpfs     mode=0755            0    0
tmpfs     /tmp      tmpfs     mode=1777            0    0
"""
FILES = {
    "etc/hostname": "quire\n",
    "etc/hosts": "127.0.0.1 localhost quire\n::1 localhost\n",
    "etc/fstab": FSTAB,
    "root/.bashrc": BASHRC,
    "root/.profile": PROFILE,
}
# Left behind by the installation, of no use or different each time.
REMOVE = ["etc/resolv.conf", "etc/machine-id", "var/log/*", "var/cache/*", "var/lib/apt/lists/*", "var/lib/dpkg/*-old", "tmp/*"]
DEBIAN_SUITES = {RELEASE, f"{RELEASE}-updates", f"{RELEASE}-security", f"{RELEASE}/updates", f"{RELEASE}-backports"}


class RootError(Exception):
    """Why there is no image, in one line."""


# Where packages come from --------------------------------------------------------------------------------------------------


def from_debian(suites, components, signed_by):
    """Is this source one of Debian's own, of our release?"""
    return bool(DEBIAN_SUITES & set(suites)) and "main" in components and (not signed_by or "debian" in signed_by)


def deb822_sources(text):
    """The paragraphs of a .sources file that are Debian's."""
    for paragraph in re.split(r"\n\s*\n", text):
        lines = [line for line in paragraph.split("\n") if line.strip() and not line.startswith("#")]
        fields = dict(re.findall(r"^([\w-]+):\s*(.*(?:\n[ \t].*)*)", "\n".join(lines), re.M))
        if fields.get("Enabled", "yes").strip() == "no" or "deb" not in fields.get("Types", "").split():
            continue
        if from_debian(fields.get("Suites", "").split(), fields.get("Components", "").split(), fields.get("Signed-By", "")):
            yield "\n".join(lines) + "\n"


def list_sources(text):
    """The lines of a .list file that are Debian's."""
    for line in text.splitlines():
        match = re.match(r"deb\s+(\[[^]]*\]\s+)?\S+\s+(\S+)\s+(.*)$", line.split("#")[0].strip())
        if match:
            signed_by = re.search(r"signed-by=(\S+)", match.group(1) or "")
            if from_debian([match.group(2)], match.group(3).split(), signed_by and signed_by.group(1)):
                yield line.strip() + "\n"


def host_sources(etc="/etc/apt"):
    """This machine's Debian sources: {file name: text}, in the two forms that apt has."""
    found = {"debian.list": "", "debian.sources": ""}
    for path in [os.path.join(etc, "sources.list"), *sorted(glob.glob(os.path.join(etc, "sources.list.d", "*")))]:
        with contextlib.suppress(OSError), open(path, encoding="utf-8") as f:
            if path.endswith(".list"):
                found["debian.list"] += "".join(list_sources(f.read()))
            elif path.endswith(".sources"):
                found["debian.sources"] += "".join(paragraph + "\n" for paragraph in deb822_sources(f.read()))
    return {name: text for name, text in found.items() if text}


def apt_settings():
    """How this machine reaches its sources: proxies and the like, as apt.conf lines. Names of programs and files are the machine's own and stay out."""
    result = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=False)
    wanted = re.compile(r"^Acquire::(?:https?|ftp|Check-|AllowInsecure|Retries|ForceIPv)\S* \"[^\"]+\";$", re.M)
    return [line for line in wanted.findall(result.stdout) if "AutoDetect" not in line]


# Making ------------------------------------------------------------------------------------------------------------------------


class Progress:
    """Says on standard error what is going on, and for how long it has been."""

    def __init__(self, name):
        self.name, self.started = name, time.monotonic()

    def say(self, text):
        print(f"root image {self.name}: {time.monotonic() - self.started:4.0f} s  {text}", file=sys.stderr, flush=True)


def run(command, log, progress=None):
    """Run a step, keep what it says; RootError with its last words if it fails."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace") as child:
        words = []
        for line in child.stdout:
            log.write(line)
            words = [*words[-3:], line.strip()] if line.strip() else words
            if progress and line.startswith("I: "):
                progress.say(line[3:].strip().rstrip("."))
    if child.returncode:
        log.flush()
        raise RootError(f"{os.path.basename(command[0])} failed: {' / '.join(words)} (see {os.path.relpath(log.name)})")


def bootstrap(packages, target, work, log, progress):
    """Install the packages and what they need into `target`, a directory or a tar archive."""
    command = ["mmdebstrap", "--variant=essential", f"--include={','.join(packages)}"]
    command += [f"--aptopt={option}" for option in APT_OPTIONS + apt_settings()]
    command += [f"--dpkgopt={option}" for option in DPKG_OPTIONS]
    command += [RELEASE, target]
    for name, text in host_sources().items():
        path = os.path.join(work, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        command.append(path)
    run(command, log, progress)


def finish_tree(tree):
    """What makes it a system of ours."""
    for pattern in REMOVE:
        for path in glob.glob(os.path.join(tree, pattern)):
            shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
    for name, text in FILES.items():
        path = os.path.join(tree, name)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
    for name in os.listdir(os.path.join(tree, "dev")):  # the kernel's, not ours
        path = os.path.join(tree, "dev", name)
        shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)


def tree_size(tree):
    """Bytes that the tree takes on disk, and its number of files."""
    seen, size = set(), 0
    for folder, names, files in os.walk(tree):
        for name in [".", *names, *files]:
            st = os.lstat(os.path.join(folder, name))
            if (st.st_dev, st.st_ino) not in seen:
                seen.add((st.st_dev, st.st_ino))
                size += -(-st.st_size // 4096) * 4096
    return size, len(seen)


def make_image(tree, image, log, spare=384 << 20):
    """An ext2 image of a tree, with room to work in. The file is sparse."""
    size, nfiles = tree_size(tree)
    blocks = (size + size // 16 + spare) // 4096
    run(["truncate", "-s", str(blocks * 4096), image], log)
    run(["mke2fs", "-q", "-F", "-t", "ext2", "-b", "4096", "-I", "256", "-m", "1", "-L", "quire",
         "-N", str(nfiles + 65536), "-d", tree, image], log)  # fmt: skip


def make(name, packages, work, log, progress):
    """Make tree and image in `work`. Without root's rights the tree exists only within fakeroot, which knows its owners."""
    tree, image = os.path.join(work, "tree"), os.path.join(work, "image")
    progress.say(f"{len(packages)} packages and what they need, from Debian 12")
    if os.geteuid() == 0:
        bootstrap(packages, tree, work, log, progress)
        finish_tree(tree)
        progress.say("writing the image")
        make_image(tree, image, log)
    else:
        archive = os.path.join(work, "root.tar")
        bootstrap(packages, archive, work, log, progress)
        progress.say("writing the image")
        run(["fakeroot", sys.executable, os.path.abspath(__file__), "--unpack", archive, tree, image], log)
        run(["chmod", "-R", "u+rwX", tree], log)
        shutil.rmtree(tree)


def unpack(archive, tree, image):
    """Within fakeroot: the archive's files with their owners become an image."""
    os.mkdir(tree)
    run(["tar", "-C", tree, "-xpf", archive, "--exclude=./dev/*"], sys.stderr)
    finish_tree(tree)
    make_image(tree, image, sys.stderr)


def key_of(packages):
    text = repr((FORMAT, RELEASE, sorted(set(packages)), sorted(FILES.items()), DPKG_OPTIONS, REMOVE))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def remove_old(name, keep):
    """Images and trees of this name that other packages made. Whoever uses one has it open, or is told by a path that does not exist."""
    for path in glob.glob(os.path.join(glob.escape(STORE), f"{glob.escape(name)}-*")):
        if re.fullmatch(re.escape(name) + r"-[0-9a-f]{12}\.(img|dir)", os.path.basename(path)) and keep not in path:
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)


def installed_packages(image):
    """Names of the packages in an image, as dpkg has noted them there."""
    result = subprocess.run(["debugfs", "-R", "cat /var/lib/dpkg/status", image], capture_output=True, text=True, check=False)
    return set(re.findall(r"^Package: (\S+)\nStatus: install ok installed", result.stdout, re.M))


def paths_of(name, packages):
    stem = os.path.join(STORE, f"{name}-{key_of(packages)}")
    return stem + ".img", stem + ".dir"


def ensure(name, extra=()):
    """The image and tree of this name with further packages: made, unless they are there. RootError."""
    for package in extra:
        if not re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", package):
            raise RootError(f"{package!r} is not a package's name")
    packages = [*IMAGES[name], *sorted(set(extra) - set(IMAGES[name]))]
    if len(packages) > len(IMAGES[name]):
        name += "+"
    image, tree = paths_of(name, packages)
    if os.path.exists(image):
        return image, tree
    os.makedirs(STORE, exist_ok=True)
    progress = Progress(name)
    with open(os.path.join(STORE, "lock"), "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.say("waiting for another that is being made")
            fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(image):
            make_and_rename(name, packages, image, tree, progress)
    return image, tree


def make_and_rename(name, packages, image, tree, progress):
    for tool, package in (("mmdebstrap", "mmdebstrap"), ("mke2fs", "e2fsprogs")):
        if not find_tool(tool):
            raise RootError(f"{tool} is missing: install the package {package}, or run `make image`")
    for path in glob.glob(os.path.join(glob.escape(STORE), "making-*")):  # of a maker that was killed
        shutil.rmtree(path, ignore_errors=True)
    work = tempfile.mkdtemp(prefix="making-", dir=STORE)
    try:
        os.chmod(work, 0o755)
        with open(os.path.join(STORE, f"{name}.log"), "w", encoding="utf-8") as log:
            make(name, packages, work, log, progress)
        if not name.endswith("+"):
            remove_old(name, key_of(packages))
        if os.path.exists(os.path.join(work, "tree")):
            shutil.rmtree(tree, ignore_errors=True)
            os.rename(os.path.join(work, "tree"), tree)
        os.rename(os.path.join(work, "image"), image)  # last: an image that is there is complete, and so is its tree
    finally:
        shutil.rmtree(work, ignore_errors=True)
    progress.say(f"done: {os.path.relpath(image)}")


def find_tool(name):
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def main():
    if len(sys.argv) == 5 and sys.argv[1] == "--unpack":
        return unpack(*sys.argv[2:])
    import argparse  # here, as ./quire has no use for it

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", choices=sorted(IMAGES))
    parser.add_argument("--package", action="append", default=[], metavar="NAME")
    parser.add_argument("--tree", action="store_true", help="print the path of the unpacked tree")
    opts = parser.parse_args()
    os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    try:
        image, tree = ensure(opts.name, opts.package)
    except (RootError, OSError) as error:
        print(f"mkroot.py: {error}", file=sys.stderr)
        return 1
    print(tree if opts.tree else image)
    return 0


if __name__ == "__main__":
    sys.exit(main())
