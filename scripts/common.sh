# shellcheck shell=bash
# shellcheck disable=SC2034 # used by the scripts that read this file
# What the scripts of this folder share.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

TARGET=${CARGO_TARGET_DIR:-target}
# What fails says why in its chain of errors; where in the harness that was tells nothing.
export RUST_LIB_BACKTRACE=${RUST_LIB_BACKTRACE:-0}
CACHE=${REDIS_OPERATOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/redis-operator}
NAMESPACE=redis-operator-system
DEPLOYMENT=deployment/redis-operator

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }
kubectl() { e2e/cluster/kubectl "$@"; }

# CMD... for each of CLUSTERS, side by side.
each_cluster() {
  local cluster pid pids=() status=0
  for cluster in $CLUSTERS; do
    CLUSTER=$cluster "$@" &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid" || status=$?; done
  return $status
}
