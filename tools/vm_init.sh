#!/bin/busybox sh
# SPDX-License-Identifier: MIT
# shellcheck shell=dash
# The first process of the machine that vm.py makes, in two parts: in the kernel's own first files it puts the file systems
# together; then, over the host's files, with their shell, it makes what a system has, and runs the command.
#
#     /dev/ttyS0      the kernel's log; the host keeps it in a file
#     /dev/ttyS1      the command's output; the host shows it
#     /run/ebb-vm     a folder of the host: the command comes from there, its status goes there, and what else it leaves
#
# When this script ends the kernel panics, which ends the machine as well.
set -eu

put_together() {
    /bin/busybox --install -s /bin
    export PATH=/bin
    mkdir -p /proc /sys /dev /host /disk /top
    mount -t proc proc /proc
    mount -t sysfs sysfs /sys
    mount -t devtmpfs dev /dev
    for module in /modules/*.ko; do
        insmod "$module" || echo "vm: ${module##*/} is not to be loaded"
    done
    mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=524288 host /host
    mount -t ext4 -o noatime /dev/vda /disk
    mkdir /disk/upper /disk/work
    # Owner and mode of the top are those of the upper folder; no file has one name on both sides that must stay the same file.
    chmod 755 /disk/upper
    mount -t overlay -o lowerdir=/host,upperdir=/disk/upper,workdir=/disk/work,index=off,xino=off overlay /top
    for folder in proc sys dev; do
        mount --move /$folder /top/$folder
    done
    mount -t tmpfs -o mode=755 run /top/run
    mkdir /top/run/ebb-vm
    mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288 out /top/run/ebb-vm
    mkdir /top/run/disk
    mount --move /disk /top/run/disk
    exec switch_root /top /bin/sh /run/ebb-vm/init inside
}

make_system() {
    export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    mkdir -p /dev/pts /dev/shm /run/lock
    mount -t devpts -o mode=620,ptmxmode=666 devpts /dev/pts
    mount -t tmpfs -o mode=1777 shm /dev/shm
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    # A swap file cannot lie on an overlay.
    mkdir -m 1777 /run/disk/tmp
    mount --bind /run/disk/tmp /var/tmp
    mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null || :
    ln -s /proc/self/fd /dev/fd 2>/dev/null || :
    ln -s /proc/self/fd/0 /dev/stdin 2>/dev/null || :
    ln -s /proc/self/fd/1 /dev/stdout 2>/dev/null || :
    ln -s /proc/self/fd/2 /dev/stderr 2>/dev/null || :
    hostname ebb-vm 2>/dev/null || echo ebb-vm >/proc/sys/kernel/hostname
    ip link set lo up 2>/dev/null || busybox ip link set lo up
    stty -F /dev/ttyS1 raw -echo 115200
}

# In a container the processes are in the top of what they see, and there are limits above that they do not see.
contain() {
    echo +memory >/sys/fs/cgroup/cgroup.subtree_control
    mkdir /sys/fs/cgroup/container
    # shellcheck disable=SC2016  # the inner shells expand these
    set -- sh -c 'echo 0 >/sys/fs/cgroup/container/cgroup.procs; exec unshare --cgroup --mount sh -c '\''
        umount /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec sh /run/ebb-vm/command'\'
    "$@"
}

inside() {
    read -r contained </run/ebb-vm/contained
    make_system
    set +e
    if [ "$contained" = yes ]; then
        contain
    else
        setsid -w sh /run/ebb-vm/command
    fi </dev/null >/dev/ttyS1 2>&1
    status=$?
    dmesg >/run/ebb-vm/dmesg
    echo $status >/run/ebb-vm/status
    sync
    echo o >/proc/sysrq-trigger
    sleep 10
}

if [ "${1:-}" = inside ]; then inside; else put_together; fi
