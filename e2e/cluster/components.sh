# shellcheck shell=bash
# How each component is started. `component` (the script) uses the same functions to start one again.
# shellcheck source=pki.sh
. "$HERE/pki.sh"

# Elsewhere these have processors that no test takes away: an API server that needs half a second for each write, and a
# kube-proxy that syncs a second late, would be what every gap is made of.
FIRST=" etcd kube-apiserver kube-proxy "

# spawn NODE COMPONENT CMD...: in the node's namespaces, with log and pid file.
spawn() {
  local node=$1 name=$2 nice=0 enter=(nsenter "--net=/run/netns/$CLUSTER-$1")
  shift 2
  [[ $FIRST != *" $name "* ]] || nice=-10
  if [ -e "$RUN/$node-holder.pid" ]; then
    enter+=("--mount=/proc/$(cat "$RUN/$node-holder.pid")/ns/mnt")
  fi
  {
    only_standard_files
    # Memory is there, the processor is what everybody waits for. With a thread for each of them, these many programs spend
    # a tenth of it on waking each other.
    # nice alone counts only within a session
    # shellcheck disable=SC2016 # expanded inside
    GOMAXPROCS=$((($(nproc) + 1) / 2)) GOGC=400 exec setsid bash -c \
      'echo "$0" >/proc/self/autogroup || true; exec nice -n "$0" "$@"' "$nice" "${enter[@]}" "$@"
  } >>"$LOGS/$node-$name.log" 2>&1 </dev/null &
  echo $! >"$RUN/$node-$name.pid"
}

# A component outlives who started it: it must not keep a lock, nor a pipe whose reader waits for its end.
only_standard_files() {
  local file
  for file in "/proc/$BASHPID/fd/"*; do
    file=${file##*/}
    [ "$file" -le 2 ] || exec {file}>&-
  done
}

start_etcd() {
  # Nothing here has to survive a power cut, and fsync on a shared disk takes its time.
  spawn cp etcd "$VAR/bin/etcd" --data-dir "$VAR/etcd" --unsafe-no-fsync --log-level warn \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380
}

start_kube-apiserver() {
  spawn cp kube-apiserver "$VAR/bin/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 \
    --bind-address=0.0.0.0 --advertise-address="$CP" --secure-port=6443 --service-cluster-ip-range="$SERVICES" \
    --tls-cert-file="$PKI/apiserver.crt" --tls-private-key-file="$PKI/apiserver.key" --client-ca-file="$PKI/ca.crt" \
    --service-account-issuer=https://kubernetes.default.svc.cluster.local \
    --service-account-key-file="$PKI/sa.pub" --service-account-signing-key-file="$PKI/sa.key" \
    --kubelet-client-certificate="$PKI/admin.crt" --kubelet-client-key="$PKI/admin.key" \
    --kubelet-certificate-authority="$PKI/ca.crt" --kubelet-preferred-address-types=InternalIP \
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true
}

start_kube-controller-manager() {
  spawn cp kube-controller-manager "$VAR/bin/kube-controller-manager" --leader-elect=false \
    --kubeconfig="$PKI/kube-controller-manager.conf" --use-service-account-credentials=true \
    --service-account-private-key-file="$PKI/sa.key" --root-ca-file="$PKI/ca.crt" \
    --cluster-signing-cert-file="$PKI/ca.crt" --cluster-signing-key-file="$PKI/ca.key"
}

start_kube-scheduler() {
  spawn cp kube-scheduler "$VAR/bin/kube-scheduler" --leader-elect=false --kubeconfig="$PKI/kube-scheduler.conf"
}

start_coredns() {
  cat >"$VAR/Corefile" <<Y
.:53 {
  bind $CP
  errors
  kubernetes cluster.local in-addr.arpa {
    kubeconfig $ADMIN
    ttl 5
  }
  cache 5
}
Y
  spawn cp coredns "$VAR/bin/coredns" -conf "$VAR/Corefile"
}

start_recycler() {
  spawn cp recycler "$HERE/recycler"
}

# The node's own view of the file system: some folders are fixed (see FIXED), and every mount that is made for a container
# vanishes with the node. The holder keeps it while components come and go.
start_holder() { # NODE
  local own=$VAR/$1
  mkdir -p "${FIXED[@]}" "${FIXED[@]/#/$own/fixed}"
  # shellcheck disable=SC2016 # expanded inside
  spawn "$1" holder unshare --mount --propagation private sh -ec '
    own=$0
    mount --make-rshared /
    for folder; do mount --bind "$own/fixed$folder" "$folder"; done
    # crun refuses a machine with both versions of cgroups, of which it needs one
    ! mountpoint --quiet /sys/fs/cgroup/unified || umount /sys/fs/cgroup/unified
    touch "$own/held"
    exec sleep infinity' "$own" "${FIXED[@]}"
  await 5 "the namespace of node $1" test -e "$own/held"
}

start_containerd() { # NODE
  local own=$VAR/$1 run=$RUN/$1
  mkdir -p "$own/net.d" "$run"
  cat >"$own/net.d/10-$CLUSTER.conflist" <<Y
{"cniVersion": "0.4.0", "name": "$CLUSTER", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true, "ipMasq": false,
   "ipam": {"type": "host-local", "dataDir": "$own/ipam",
            "ranges": [[{"subnet": "10.244.${1#n}.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
Y
  cat >"$own/containerd.toml" <<Y
version = 2
root = "$own/containerd"
state = "$run/containerd"
[grpc]
  address = "$run/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "$own/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${IMAGE[pause]}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "crun" # probes that execute cost a fraction of what they do with runc
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.crun]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.crun.options]
      BinaryName = "crun"
      Root = "$run/crun"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$own/net.d"
Y
  spawn "$1" containerd containerd --config "$own/containerd.toml"
  await 20 "containerd of node $1" ctr --address "$run/containerd.sock" version
}

start_kubelet() { # NODE
  local own=$VAR/$1
  cat >"$own/kubelet.yaml" <<Y
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $PKI/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $PKI/$1.crt
tlsPrivateKeyFile: $PKI/$1.key
containerRuntimeEndpoint: unix://$RUN/$1/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /$CLUSTER-$1
clusterDNS: ["$CP"]
clusterDomain: cluster.local
resolvConf: $VAR/resolv.conf
podLogsDir: $own/logs
volumePluginDir: $own/plugins
# A machine shared with other work: no swap check, no eviction, no image collection by its disk.
failSwapOn: false
evictionHard: {}
imageGCHighThresholdPercent: 100
localStorageCapacityIsolation: false
volumeStatsAggPeriod: 0s
nodeStatusReportFrequency: 1m
Y
  spawn "$1" kubelet "$VAR/bin/kubelet" --config="$own/kubelet.yaml" --kubeconfig="$PKI/$1.conf" \
    --hostname-override="$1" --node-ip="$(node_ip "$1")"
}

start_kube-proxy() { # NODE
  local own=$VAR/$1
  cat >"$own/proxy.yaml" <<Y
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {kubeconfig: $PKI/kube-proxy.conf}
clusterCIDR: 10.244.0.0/16
hostnameOverride: $1
conntrack: {maxPerCore: 0}
Y
  spawn "$1" kube-proxy "$VAR/bin/kube-proxy" --config="$own/proxy.yaml"
}
