#!/bin/sh
# SPDX-License-Identifier: MIT
# Proves that ./dev works on a fresh Debian 12 that has nothing but git: installs a minimal one into a temporary folder,
# clones this repository into it, and runs ./dev there.
#
#   tools/fresh-check.sh [--worktree] [--keep] VERB [ARGUMENT...]
#
# --worktree  takes the files of the work tree as they are, instead of the last commit
# --keep      leaves the folder for a look inside
#
# Needs root and debootstrap. apt's settings of this machine are used inside, so that what reaches Debian's packages here
# reaches them there. All mounts belong to a mount namespace of their own and all processes to a process namespace, so
# nothing is left behind when it ends, however it ends.
set -eu

worktree=''
keep=''
while :; do
    case ${1:-} in
    --worktree) worktree=yes ;;
    --keep) keep=yes ;;
    *) break ;;
    esac
    shift
done
[ $# -gt 0 ] || { echo "usage: tools/fresh-check.sh [--worktree] [--keep] VERB [ARGUMENT...]" >&2; exit 2; }
[ "$(id -u)" -eq 0 ] || { echo "fresh-check: needs root" >&2; exit 1; }
command -v debootstrap >/dev/null || { echo "fresh-check: needs the package debootstrap" >&2; exit 1; }

source=$(cd "$(dirname "$0")/.." && pwd)
top=$(mktemp -d "${TMPDIR:-/var/tmp}/ebb-fresh-XXXXXX")
root=$top/root
# shellcheck disable=SC2317  # called by the trap
cleanup() {
    if [ -n "$keep" ]; then
        echo "fresh-check: kept $root"
    else
        rm -rf --one-file-system "$top"
    fi
}
trap cleanup EXIT
trap 'exit 130' INT TERM HUP

# shellcheck disable=SC2016  # apt expands these itself
mirror=$(apt-get indextargets --format '$(REPO_URI) $(SUITE)' 2>/dev/null | awk '$2 == "bookworm" { print $1; exit }')
echo "==> a fresh Debian 12"
debootstrap --variant=minbase --include=git,ca-certificates bookworm "$root" "${mirror:-http://deb.debian.org/debian}" \
    >"$top/debootstrap.log" 2>&1 || { tail -n 20 "$top/debootstrap.log"; exit 1; }

# How this machine reaches Debian's packages; sources of others stay outside.
rm -f "$root/etc/apt/sources.list"
for name in sources.list sources.list.d/debian.sources apt.conf.d auth.conf.d trusted.gpg.d keyrings; do
    [ ! -e "/etc/apt/$name" ] || { mkdir -p "$root/etc/apt/$(dirname "$name")" && cp -a "/etc/apt/$name" \
        "$root/etc/apt/$(dirname "$name")/"; }
done
# Settings of this machine's other tools do not belong to apt's.
rm -f "$root"/etc/apt/apt.conf.d/*packagekit "$root"/etc/apt/apt.conf.d/*appstream "$root"/etc/apt/apt.conf.d/docker-*
cp /etc/resolv.conf "$root/etc/resolv.conf"
[ ! -d /usr/local/share/ca-certificates ] || cp -a /usr/local/share/ca-certificates "$root/usr/local/share/"
cp -a /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/" 2>/dev/null || :

echo "==> a clone of the repository"
git clone -q --no-local "$source" "$root/root/ebb"
if [ -n "$worktree" ]; then
    (cd "$source" && git ls-files -co --exclude-standard | while read -r path; do
        [ ! -e "$path" ] || printf '%s\n' "$path"
    done | tar -cf - -T -) | tar xf - -C "$root/root/ebb"
    (cd "$source" && git ls-files -d) | (cd "$root/root/ebb" && xargs -r rm -f)
fi

echo "==> ./dev $*"
start=$(date +%s)
set +e
# shellcheck disable=SC2016  # the inner shell expands these
unshare --mount --pid --fork --kill-child --mount-proc sh -eu -c '
    root=$1
    shift
    mount -t proc proc "$root/proc"
    mount --rbind /sys "$root/sys"
    mount --rbind /dev "$root/dev"
    exec chroot "$root" /usr/bin/env -i HOME=/root TERM="${TERM:-dumb}" LC_ALL=C.UTF-8 CI="${CI:-}" \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin sh -c "cd /root/ebb && exec ./dev \"\$@\"" dev "$@"
' sh "$root" "$@"
status=$?
set -e
echo "==> ./dev $* ended with status $status after $(($(date +%s) - start)) s"
for left in usr/sbin/policy-rc.d etc/postgresql-common/createcluster.d/ebb-no-cluster.conf var/lib/postgresql/15/main \
    etc/systemd/system/multi-user.target.wants/mariadb.service; do
    [ ! -e "$root/$left" ] || { echo "fresh-check: /$left was left behind" >&2; status=1; }
done
(cd "$root/root/ebb" && [ -n "$worktree" ] || [ -z "$(git status --porcelain)" ]) ||
    { echo "fresh-check: the work tree is not clean after it" >&2; status=1; }
exit $status
