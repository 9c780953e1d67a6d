# shellcheck shell=bash
# shellcheck disable=SC2034 # used by the scripts that read this file
# What every script of this folder shares: names, places, and how to enter a node.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CLUSTER=${CLUSTER:-ro}
RUN=/run/$CLUSTER        # sockets, pid files, kubeconfig
VAR=/var/lib/$CLUSTER    # everything else: etcd, containers, volumes, certificates, logs
LOGS=$VAR/logs
ADMIN=$RUN/kubeconfig
# Folders that kubelet, CNI and containerd's shims use whatever one tells them; every node mounts its own there.
FIXED=(/var/lib/kubelet /var/lib/cni /var/log/containers /run/containerd/s)
CP=172.30.0.2            # the control plane's address on the cluster's own network
SERVICES=10.96.0.0/16
CACHE=${REDIS_OPERATOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/redis-operator}

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

# Interface names such as p-NAME-n0 have 15 characters at most.
[[ $CLUSTER =~ ^[a-z][a-z0-9]{0,8}$ ]] ||
  die "CLUSTER=$CLUSTER: a cluster's name has at most 9 lower-case letters and digits and begins with a letter"

need_root() { [ "$(id -u)" = 0 ] || die "${0##*/} needs root (network namespaces, mounts, cgroups): run it with sudo"; }

# A user who has set KUBECONFIG has a cluster already; nothing here may bring up or touch another one.
foreign() { [ -n "${KUBECONFIG:-}" ] && [ "$KUBECONFIG" != "$ADMIN" ]; }

node_ip() { echo "172.30.0.1${1#n}"; }
node_names() { (cd "$RUN" 2>/dev/null && for d in n[0-9]; do [ ! -d "$d" ] || echo "$d"; done); }

# net_of NODE CMD...: with the network of that node (cp, n0, n1 ...), with the machine's own files.
# `ip netns exec` would remount /sys and so hide the cgroups from containerd.
net_of() {
  local node=$1
  shift
  nsenter --net="/run/netns/$CLUSTER-$node" "$@"
}

kubectl() { KUBECONFIG=$ADMIN net_of cp "$VAR/bin/kubectl" "$@"; }

# Is the process of this pid file alive, and is it still ours? Zombies have no namespaces, reused pids have others.
alive() { # PIDFILE NODE
  local pid
  pid=$(cat "$1" 2>/dev/null) || return 1
  [ "$(stat -Lc %i "/proc/$pid/ns/net" 2>/dev/null)" = "$(stat -Lc %i "/run/netns/$CLUSTER-$2" 2>/dev/null || echo none)" ]
}

# await SECONDS WHAT CMD...: until the command succeeds.
await() {
  local limit=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$limit" ] || die "$what did not come within its time; see $LOGS"
    sleep 0.1
  done
}

# One `up` or `down` at a time. A lock on a folder needs no file that would stay behind.
lock() {
  exec 9</run
  flock -w 300 9 || die "another up or down has been running for five minutes"
}
