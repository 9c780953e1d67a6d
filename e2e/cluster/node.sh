# shellcheck shell=bash
# A node as a whole: how it boots, and what is left of it when its power is gone.

# The root of a node's containers, in every hierarchy of cgroup v1 or in the one of v2.
make_cgroups() { # NODE
  local controller
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mkdir -p "/sys/fs/cgroup/$CLUSTER-$1"
    tr ' ' '\n' </sys/fs/cgroup/cgroup.controllers | sed 's/^/+/' | while read -r controller; do
      echo "$controller" >/sys/fs/cgroup/cgroup.subtree_control || true
    done
    return
  fi
  for controller in /sys/fs/cgroup/*/cgroup.procs; do
    controller=${controller%/*}
    [ "${controller##*/}" = unified ] || mkdir -p "$controller/$CLUSTER-$1"
  done
  for controller in cpus mems; do # a new cpuset is empty and takes no process
    cat "/sys/fs/cgroup/cpuset/cpuset.$controller" >"/sys/fs/cgroup/cpuset/$CLUSTER-$1/cpuset.$controller"
  done
}

# Everything of a node at once, with the images in it that it lacks.
start_node() { # NODE
  local name there
  make_cgroups "$1"
  start_holder "$1"
  start_containerd "$1"
  there=$(ctr --address "$RUN/$1/containerd.sock" --namespace k8s.io images list --quiet)
  for name in "${!IMAGE[@]}"; do
    grep -qFx "${IMAGE[$name]}" <<<"$there" ||
      ctr --address "$RUN/$1/containerd.sock" --namespace k8s.io images import "$(archive "$name")" >/dev/null
  done
  start_kubelet "$1"
  start_kube-proxy "$1"
}

# What a machine without power has lost: what was in its memory, such as sockets, bridges, rules and cgroups. Its mounts went
# with the last of its processes.
forget_node() { # NODE
  rm -rf "${RUN:?}/$1" "$RUN/$1"-*.pid "$VAR/$1/held"
  mkdir "$RUN/$1"
  net_of "$1" nft flush ruleset
  net_of "$1" ip link delete cni0 2>/dev/null || true
  remove_cgroups "$1"
}
