#!/bin/sh
# Holds the server's end off while it is the master of others, so that the operator can make one of them master first and
# no write is lost. Not for ever: 10 s, or until the server has failed to reply twice. A replica ends a second later, when
# no Service leads new connections to it any more.
. /etc/redis/ask.sh
failed=0
end=$(($(date +%s) + 10))
while [ "$(date +%s)" -lt "$end" ]; do
    reply=$(ask info replication)
    case $reply in
    *role:slave*)
        sleep 1
        exit 0
        ;;
    *connected_slaves:0*) exit 0 ;;
    *role:master*) failed=0 ;;
    *) failed=$((failed + 1)) ;;
    esac
    [ "$failed" -lt 2 ] || exit 0
    sleep 0.1
done
exit 0
