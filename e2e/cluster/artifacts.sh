# shellcheck shell=bash
# What is built once and kept in the cache, each under a key made of everything it depends on.
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

KUBERNETES=1.34.2                # must agree with kube/go.mod
EXPORTER=v1.74.0                 # must agree with exporter/go.mod
SUITE=bookworm                   # its redis-server is 7.0
NEWER=trixie                     # its valkey-server is 8.1

# The name that each image has in the cluster; the public ones, so that examples run here unchanged.
declare -A IMAGE=(
  [pause]=localhost/pause:1
  [redis]=docker.io/library/redis:7.0
  [valkey]=docker.io/valkey/valkey:8.1
  [exporter]=docker.io/oliver006/redis_exporter:$EXPORTER
)

# Changes when something that the artifact is made of changes.
key() {
  {
    case $1 in
      kube) cat "$HERE"/kube/*.go "$HERE"/kube/go.{mod,sum}; go env GOVERSION; echo $KUBERNETES ;;
      pause) cat "$HERE"/images/pause.* ;;
      redis) cat "$HERE"/images/redis.Dockerfile; echo $SUITE; declare -f debian ;;
      valkey) cat "$HERE"/images/valkey.Dockerfile; echo $NEWER; declare -f debian ;;
      exporter) cat "$HERE"/images/exporter.Dockerfile "$HERE"/exporter/go.*; go env GOVERSION; echo $EXPORTER ;;
    esac
    echo "${IMAGE[$1]:-}"
    declare -f "make_$1" 2>/dev/null || true
  } | sha256sum | cut -c1-16
}

archive() { echo "$CACHE/$1-$(key "$1")"; }

# Each make_X DIR leaves its result as DIR/out; the working directory is this folder.

make_kube() {
  local version=k8s.io/component-base/version
  # Without the version flags components call themselves v0.0.0, and kubectl and kubelet misbehave.
  (cd kube && go build -mod=readonly -trimpath -o "$1/out" \
    -ldflags "-s -w -X $version.gitVersion=v$KUBERNETES -X $version.gitMajor=1 -X $version.gitMinor=$(cut -d. -f2 <<<$KUBERNETES)" .)
}

make_pause() {
  gcc -static -O2 -s -Wall -o "$1/pause" images/pause.c
  make_image pause "$1"
}

make_redis() {
  debian $SUITE redis redis-server,redis-tools "$1/rootfs.tar"
  make_image redis "$1"
}

# Like the public image it has the names of redis, too.
make_valkey() {
  # shellcheck disable=SC2016 # expanded by mmdebstrap: $1 is the new root
  debian $NEWER valkey valkey-server,valkey-tools "$1/rootfs.tar" \
    --customize-hook='for name in server cli; do ln -sf valkey-$name "$1/usr/bin/redis-$name"; done'
  make_image valkey "$1"
}

# debian SUITE USER PACKAGES FILE [OPTION...]: a small root with these packages, and the user of the public images.
debian() {
  local suite=$1 user=$2 packages=$3 file=$4
  shift 4
  # shellcheck disable=SC2016 # expanded by mmdebstrap: $1 is the new root
  mmdebstrap --quiet --variant=essential --include="$packages" \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --essential-hook='echo '"$user"':x:999:999::/data:/usr/sbin/nologin >>"$1/etc/passwd"; echo '"$user"':x:999: >>"$1/etc/group"' \
    "$@" "$suite" "$file"
}

make_exporter() {
  (cd exporter && CGO_ENABLED=0 go build -mod=readonly -trimpath -o "$1/redis_exporter" \
    -ldflags "-s -w -X main.BuildVersion=$EXPORTER" github.com/oliver006/redis_exporter)
  make_image exporter "$1"
}

# The image of a Dockerfile whose context is DIR, as an OCI archive, with no registry and no daemon.
make_image() { # NAME DIR
  cp "images/$1.Dockerfile" "$2/Dockerfile"
  "$HERE/../../scripts/oci" "$2/out" "${IMAGE[$1]}" "$2"
}
