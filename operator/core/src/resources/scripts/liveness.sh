#!/bin/sh
# Alive is whoever replies, whatever it says: a server that loads, runs a long script, has lost its master, cannot write its
# disk (MISCONF, also to a ping) or has too many clients keeps its data and will serve again. Dead is only who refuses
# connections or stays silent. To close a connection (141 is SIGPIPE) is a reply too.
. /etc/redis/ask.sh
reply=$(ask ping)
case $?:$reply in
0:?* | *PONG* | *LOADING* | *BUSY* | *MASTERDOWN* | *MISCONF* | *NOAUTH* | *NOPERM* | *WRONGPASS* | *ERR* | *closed* | *reset* | 141:*)
    exit 0
    ;;
esac
echo "no reply: ${reply:-silent for 2 s}"
exit 1
