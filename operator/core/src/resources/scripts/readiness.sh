#!/bin/sh
# Ready is a master, and a replica whose link is up. A server that loads at its start is neither: it starts as a replica
# of nothing.
. /etc/redis/ask.sh
reply=$(ask info replication)
case $reply in
*role:master* | *master_link_status:up*) exit 0 ;;
*role:slave*) echo "the link to the master is down" ;;
*) echo "no INFO: ${reply:-silent for 2 s}" ;;
esac
exit 1
