# SPDX-License-Identifier: MIT
"""Runs a command on another kernel: boots a Debian kernel in qemu over this machine's own files, which it cannot change.

vm.py [OPTION...] -- COMMAND...

--kernel PACKAGE    the Debian package of the kernel, or one that depends on it (linux-image-amd64)
--folder FOLDER     keeps the kernel, the log of the boot, and what the command leaves in /run/ebb-vm (build/vm)
--memory MIB        of the machine (6144)
--seconds N         after which it is ended, with status 124 (1800)
--contained         the command sees what a container sees: its cgroup is the top of a namespace, and is no root

The machine has two processors, memory cgroups of version 2 only, the loopback and no other network. This machine's root file
system is seen over 9p and read-only; what is written goes to a disk that has no name any more once the machine runs. Whatever
ends this script, the machine ends with it.

The kernel's package is fetched with apt-get and unpacked below the folder; nothing is installed. Status: the command's own, 124
after the time is over, 125 when the machine did not come that far, 77 when there is no qemu.
"""

import argparse
import ctypes
import glob
import lzma
import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time

# What the boot needs; those of them that a kernel has built in are in no file. ext4 asks for its checksum by an alias.
MODULES = ("virtio_pci", "virtio_blk", "9pnet_virtio", "9p", "overlay", "crc32c_generic", "ext4", "zram")
DISK_BYTES = 24 << 30  # sparse
PR_SET_PDEATHSIG = 1
DONE, NO_MACHINE, TOO_LATE, SKIPPED = 0, 125, 124, 77
SILENT = -1
# From the start of qemu to the kernel's first line: two seconds, also in software.
FIRST_WORD_SECONDS = 20
SLOW = 20  # a processor in software on a busy machine, for bounds
NO_KVM = "/kvm-is-no-use"


class Failure(Exception):
    """The machine cannot be made; the text says why."""


def said(*words, **more):
    done = subprocess.run(words, capture_output=True, text=True, check=False, **more)
    if done.returncode != 0:
        raise Failure(f"{' '.join(words)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


# ---- the kernel ----

def image_package(package):
    """linux-image-amd64 is empty, and depends on the package of this month."""
    names = re.findall(r"^ *Depends: (linux-image-\S+)", said("apt-cache", "depends", package), re.M)
    return names[0] if names else package


def fetch_kernel(package, folder):
    """The folder of an unpacked kernel; from an earlier run if that had the same package."""
    name = image_package(package)
    kernel = os.path.join(folder, name)
    if os.path.exists(kernel + "/boot"):
        return kernel
    with tempfile.TemporaryDirectory(dir=folder) as place:
        said("apt-get", "download", "-q=2", name, cwd=place)
        files = glob.glob(place + "/*.deb")
        if not files:
            raise Failure(f"apt-get has not brought {name}")
        said("dpkg-deb", "-x", files[0], place + "/root")
        os.rename(place + "/root", kernel)
    return kernel


def module_name(path):
    return os.path.basename(path).split(".ko")[0].replace("-", "_")


def module_bytes(path):
    opener = lzma.open if path.endswith(".xz") else open
    with opener(path, "rb") as file:
        return file.read()


def modules(kernel):
    """[(name, contents)] of the modules that the boot needs and of what these depend on, in an order that can be loaded."""
    top = glob.glob(kernel + "/lib/modules/*") + glob.glob(kernel + "/usr/lib/modules/*")
    paths = {module_name(path): path for path in glob.glob(top[0] + "/kernel/**/*.ko*", recursive=True)}
    chosen = {}

    def choose(name):
        if name in chosen or name not in paths:
            return
        contents = module_bytes(paths[name])
        found = re.search(rb"\0depends=([^\0]*)\0", contents)
        for other in (found.group(1).decode() if found else "").split(","):
            choose(other.replace("-", "_"))
        chosen[name] = contents

    for name in MODULES:
        choose(name)
    return list(chosen.items())


# ---- the first files ----

def cpio(entries):
    """An archive as the kernel unpacks it: (name, mode, contents)."""
    out = bytearray()
    for number, (name, mode, contents) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        fields = (number, mode, 0, 0, 1, 0, len(contents), 0, 0, 0, 0, len(name) + 1, 0)
        out += b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        out += b"\0" * (-len(out) % 4) + contents
        out += b"\0" * (-len(out) % 4)
    return bytes(out)


def first_files(kernel, path):
    """A busybox, the modules, and the script that the kernel starts."""
    busybox = shutil.which("busybox")
    if busybox is None:
        raise Failure("there is no busybox (package busybox-static)")
    with open(busybox, "rb") as file:
        entries = [("bin", stat.S_IFDIR | 0o755, b""), ("bin/busybox", stat.S_IFREG | 0o755, file.read())]
    with open(os.path.join(os.path.dirname(__file__), "vm_init.sh"), "rb") as file:
        entries.append(("init", stat.S_IFREG | 0o755, file.read()))
    entries.append(("modules", stat.S_IFDIR | 0o755, b""))
    for number, (name, contents) in enumerate(modules(kernel)):
        entries.append((f"modules/{number:02}-{name}.ko", stat.S_IFREG | 0o644, contents))
    with open(path, "wb") as file:
        file.write(cpio(entries))


# ---- the machine ----

def nameless_disk(folder):
    """A descriptor of an empty file system in a file that nobody can find any more."""
    mkfs = shutil.which("mkfs.ext4") or "/sbin/mkfs.ext4"
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        os.truncate(file.name, DISK_BYTES)
        said(mkfs, "-q", "-F", "-O", "^has_journal", "-E", "lazy_itable_init=1", file.name)
        return os.open(file.name, os.O_RDWR)


def machine(arguments, kernel, accelerator, disk, out):
    """The words of qemu."""
    image = (glob.glob(kernel + "/boot/vmlinuz-*") + [""])[0]
    shared = "security_model=none,multidevs=remap"
    return [
        "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-nic", "none",
        "-machine", "q35", "-accel", accelerator, "-cpu", "max", "-smp", "2", "-m", str(arguments.memory),
        "-kernel", image, "-initrd", os.path.join(arguments.folder, "initramfs"),
        "-append", "earlyprintk=ttyS0,115200 console=ttyS0 loglevel=6 panic=-1 cgroup_no_v1=all psi=1",
        "-chardev", f"file,id=log,path={arguments.folder}/boot.log", "-serial", "chardev:log",
        "-chardev", "stdio,id=words,signal=off", "-serial", "chardev:words",
        "-device", "virtio-rng-pci",
        "-drive", f"file=/proc/self/fd/{disk},format=raw,if=virtio,cache=unsafe,discard=unmap",
        "-virtfs", f"local,path=/,mount_tag=host,readonly=on,{shared}",
        "-virtfs", f"local,path={out},mount_tag=out,{shared}",
    ]


def write_command(arguments, out, slow):
    """What is run inside: a script, in the folder that both sides see. Tests take their bounds on times so many times."""
    names = ("CI", "SEED", "EBB_SEED", "TEST_SEED", "EBB_TEST_SEED")
    words = ["env", "-i", *(f"{name}={os.environ[name]}" for name in names if name in os.environ),
             f"EBB_TEST_SLOW={slow}", "HOME=/root", "TERM=dumb", "LC_ALL=C.UTF-8",
             "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", *arguments.command]
    with open(out + "/command", "w", encoding="utf-8") as file:
        file.write(f"cd {shlex.quote(os.getcwd())} && exec {' '.join(shlex.quote(word) for word in words)}\n")
    with open(out + "/contained", "w", encoding="utf-8") as file:
        file.write("yes\n" if arguments.contained else "no\n")
    shutil.copyfile(os.path.join(os.path.dirname(__file__), "vm_init.sh"), out + "/init")


def end_with_parent(parent):
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it has ended meanwhile
        os.kill(os.getpid(), signal.SIGKILL)


def says_something(path, seconds, is_over):
    """Whether the kernel's log begins within that time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not is_over():
        if os.path.getsize(path) != 0:
            return True
        time.sleep(0.1)
    return os.path.getsize(path) != 0


def run(arguments, words, disk):
    """DONE, TOO_LATE, or SILENT when not even the kernel has begun."""
    log, parent = arguments.folder + "/boot.log", os.getpid()
    with open(log, "w", encoding="ascii"):
        pass
    with open(arguments.folder + "/qemu.log", "w", encoding="utf-8") as errors, subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stderr=errors, pass_fds=(disk,), preexec_fn=lambda: end_with_parent(parent)) as qemu:
        try:
            if not says_something(log, FIRST_WORD_SECONDS, lambda: qemu.poll() is not None):
                return SILENT
            qemu.wait(arguments.seconds)
            return DONE
        except subprocess.TimeoutExpired:
            return TOO_LATE
        finally:
            qemu.kill()


def accelerators(folder):
    """KVM, unless it was tried in vain; then a processor in software. What a KVM can run is known by trying only: one within
    another, or one that wants to be known to its guests, may run no ordinary kernel."""
    if os.access("/dev/kvm", os.R_OK | os.W_OK) and not os.path.exists(folder + NO_KVM):
        yield "kvm", 1, "KVM"
    yield "tcg,thread=multi", SLOW, "a processor in software: some ten times slower"


def run_somehow(arguments, kernel, out):
    for accelerator, slow, text in accelerators(arguments.folder):
        write_command(arguments, out, slow)
        disk = nameless_disk(arguments.folder)
        print(f"==> {os.path.basename(kernel)}, {text}", flush=True)
        done = run(arguments, machine(arguments, kernel, accelerator, disk, out), disk)
        os.close(disk)
        if done != SILENT:
            return done
        with open(arguments.folder + NO_KVM, "w", encoding="ascii") as file:
            file.write("was tried in vain; remove this file to have it tried again\n")
    return SILENT


def ends_of(*paths):
    text = ""
    for path in paths:
        with open(path, encoding="utf-8", errors="replace") as file:
            text += "".join(file.readlines()[-20:])
    return text


def boot(arguments):
    if shutil.which("qemu-system-x86_64") is None or os.uname().machine != "x86_64":
        print("vm: skipped, there is no qemu-system-x86_64 for this machine")
        return SKIPPED
    arguments.folder = os.path.abspath(arguments.folder)
    out = arguments.folder + "/out"
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    kernel = fetch_kernel(arguments.kernel, arguments.folder)
    first_files(kernel, arguments.folder + "/initramfs")
    if run_somehow(arguments, kernel, out) == TOO_LATE:
        print(f"vm: ended after {arguments.seconds} s", file=sys.stderr)
        return TOO_LATE
    try:
        with open(out + "/status", encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        print("vm: the machine has said no status. The end of its logs:\n" +
              ends_of(arguments.folder + "/qemu.log", arguments.folder + "/boot.log"), file=sys.stderr)
        return NO_MACHINE


def main():
    parser = argparse.ArgumentParser(usage=__doc__, add_help=False)
    parser.add_argument("--kernel", default="linux-image-amd64")
    parser.add_argument("--folder", default="build/vm")
    parser.add_argument("--memory", type=int, default=6144)
    parser.add_argument("--seconds", type=int, default=1800)
    parser.add_argument("--contained", action="store_true")
    parser.add_argument("command", nargs="+")
    # So that what Python cleans up is cleaned up.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(130))
    try:
        return boot(parser.parse_args())
    except Failure as reason:
        print(f"vm: {reason}", file=sys.stderr)
        return NO_MACHINE
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
