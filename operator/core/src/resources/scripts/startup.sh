#!/bin/sh
# Started is whoever is alive and has loaded its data. Until then nothing ends the process, however long it takes.
reply=$(/etc/redis/ask.sh ping)
case $reply in
*LOADING*)
    echo "loading"
    exit 1
    ;;
esac
exec /etc/redis/liveness.sh
