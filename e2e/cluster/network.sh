# shellcheck shell=bash
# One namespace that is the switch, one for the control plane, one a node. Nothing of the machine's own network changes,
# and nothing is routed outside.

make_network() { # NODE...
  local node from
  ip netns add "$CLUSTER-lan"
  net_of lan ip link set lo up
  net_of lan ip link add br0 type bridge
  net_of lan ip link set br0 up
  plug cp "$CP"
  for node in "$@"; do plug "$node" "$(node_ip "$node")"; done
  # Pods of a node live behind its address.
  for node in "$@"; do
    for from in cp "$@"; do
      [ "$from" = "$node" ] || net_of "$from" ip route add "10.244.${node#n}.0/24" via "$(node_ip "$node")"
    done
  done
}

plug() { # NODE ADDRESS
  local node=$1 address=$2 port=p-$CLUSTER-$1 end=e-$CLUSTER-$1
  ip netns add "$CLUSTER-$node"
  net_of "$node" ip link set lo up
  ip link add "$port" netns "$CLUSTER-lan" type veth peer name "$end" netns "$CLUSTER-$node"
  net_of lan ip link set "$port" master br0 up
  net_of "$node" ip link set "$end" name eth0
  net_of "$node" ip addr add "$address/24" dev eth0
  net_of "$node" ip link set eth0 up
  net_of "$node" sysctl -qw net.ipv4.ip_forward=1
  # A Service address needs some route, or the packet is dropped before kube-proxy's rules see it. What they do not
  # translate ends on this idle bridge (a dummy device would do as well, but not every kernel has one).
  net_of "$node" ip link add svc0 type bridge
  net_of "$node" ip link set svc0 up
  net_of "$node" ip route add "$SERVICES" dev svc0 src "$address"
}
