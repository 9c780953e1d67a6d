# shellcheck shell=bash
# Takes away everything that carries the cluster's name, however much of it there is.

namespaces() { ip netns list | awk -v prefix="$CLUSTER-" 'index($1, prefix) == 1 {print $1}'; }

# Processes are found by where they are, never by name: in the cluster's network namespaces (components, shims) and in
# its nodes' cgroups (containers).
processes() { # NODE, or a pattern
  local namespace
  for namespace in $(namespaces); do
    # shellcheck disable=SC2053 # a pattern
    [[ $namespace != $CLUSTER-$1 ]] || ip netns pids "$namespace"
  done
  find /sys/fs/cgroup -path "*/$CLUSTER-$1/*" -name cgroup.procs -exec cat {} + 2>/dev/null || true
}

# Ends them all at once, and waits until none is left.
end_processes() { # NODE, or a pattern
  local pids deadline=$((SECONDS + 20))
  while pids=$(processes "$1" | sort -u) && [ -n "$pids" ]; do
    # shellcheck disable=SC2086 # one word a process
    kill -KILL $pids 2>/dev/null || true
    [ "$SECONDS" -lt "$deadline" ] || die "processes of cluster $CLUSTER will not end: $(tr '\n' ' ' <<<"$pids")"
    sleep 0.1
  done
}

remove_cgroups() { # NODE, or a pattern
  find /sys/fs/cgroup -maxdepth 2 -type d -name "$CLUSTER-$1" | while read -r cgroup; do
    find "$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null || true
  done
}

exists() { [ -e "$RUN" ] || [ -e "$VAR" ] || [ -n "$(namespaces)" ]; }

tear_down() {
  local namespace folder
  end_processes '*'
  for namespace in $(namespaces); do ip netns delete "$namespace"; done
  # Containers' mounts went with their node's mount namespace; this is for what somebody mounted by hand.
  awk -v run="$RUN/" -v var="$VAR/" 'index($2, run) == 1 || index($2, var) == 1 {print $2}' /proc/mounts | sort -r |
    xargs -r umount --lazy
  remove_cgroups '*'
  rm -rf "$RUN" "$VAR"
  # Removing a folder would take away what another cluster's node has mounted there.
  for folder in "${FIXED[@]}"; do
    grep -qs " $folder " /proc/[0-9]*/mountinfo || rmdir --ignore-fail-on-non-empty "$folder" 2>/dev/null || true
  done
  rmdir --ignore-fail-on-non-empty /run/containerd 2>/dev/null || true
}
