#!/bin/sh
# Asks the server of this pod as the probes' user. Whoever has not replied within 2 s has not replied.
cli=$(command -v redis-cli || command -v valkey-cli) || {
    echo "the image has neither redis-cli nor valkey-cli"
    exit 1
}
REDISCLI_AUTH=$(cat /etc/redis-auth/probe-password) || exit 1
export REDISCLI_AUTH
exec timeout 2 "$cli" -h 127.0.0.1 -p 6379 --user probe "$@" 2>&1
