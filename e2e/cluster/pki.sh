# shellcheck shell=bash
# Certificates and kubeconfig files, new with every cluster.

PKI=$VAR/pki

make_pki() { # NODE...
  local node
  mkdir -p "$PKI"
  openssl req -x509 "${KEY[@]}" -days 3650 -subj "/CN=$CLUSTER" -keyout "$PKI/ca.key" -out "$PKI/ca.crt" 2>/dev/null
  openssl ecparam -name prime256v1 -genkey -noout -out "$PKI/sa.key"
  openssl ec -in "$PKI/sa.key" -pubout -out "$PKI/sa.pub" 2>/dev/null

  local names=DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local
  certificate apiserver /CN=kube-apiserver "$names,IP:10.96.0.1,IP:$CP,IP:127.0.0.1"
  client admin /O=system:masters/CN=admin
  client kube-controller-manager /CN=system:kube-controller-manager
  client kube-scheduler /CN=system:kube-scheduler
  client kube-proxy /CN=system:kube-proxy
  for node in "$@"; do
    client "$node" "/O=system:nodes/CN=system:node:$node" "DNS:$node,IP:$(node_ip "$node")"
  done
  cp "$PKI/admin.conf" "$ADMIN"
}

KEY=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)

certificate() { # NAME SUBJECT SUBJECT-ALTERNATIVE-NAMES
  openssl req "${KEY[@]}" -subj "$2" -keyout "$PKI/$1.key" 2>/dev/null |
    openssl x509 -req -days 3650 -CA "$PKI/ca.crt" -CAkey "$PKI/ca.key" -CAcreateserial -out "$PKI/$1.crt" \
      -extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$3") 2>/dev/null
}

# A certificate and the kubeconfig that uses it, with everything in the one file.
client() { # NAME SUBJECT [SUBJECT-ALTERNATIVE-NAMES]
  certificate "$1" "$2" "${3:-DNS:$1}"
  cat >"$PKI/$1.conf" <<Y
apiVersion: v1
kind: Config
current-context: $CLUSTER
clusters:
- name: $CLUSTER
  cluster:
    server: https://$CP:6443
    certificate-authority-data: $(base64 -w0 "$PKI/ca.crt")
contexts:
- name: $CLUSTER
  context: {cluster: $CLUSTER, user: $1}
users:
- name: $1
  user:
    client-certificate-data: $(base64 -w0 "$PKI/$1.crt")
    client-key-data: $(base64 -w0 "$PKI/$1.key")
Y
}
