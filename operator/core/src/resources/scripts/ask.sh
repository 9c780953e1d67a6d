#!/bin/sh
# For the scripts beside it: asks the server of this pod as the probes' user. Whoever has not replied within 2 s has not
# replied. To be called in a subshell. Every pod pays for each process of a probe every few seconds, so what the shell can
# do it does itself.
ask() {
    cli=redis-cli
    command -v $cli >/dev/null || cli=valkey-cli
    command -v $cli >/dev/null || {
        echo "the image has neither redis-cli nor valkey-cli"
        exit 1
    }
    # the last line may end without a newline
    read -r REDISCLI_AUTH </etc/redis-auth/probe-password || [ -n "$REDISCLI_AUTH" ] || exit 1
    export REDISCLI_AUTH
    exec timeout 2 $cli -h 127.0.0.1 -p 6379 --user probe "$@" 2>&1
}
