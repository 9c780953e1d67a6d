#!/bin/sh
# Started is whoever has loaded its data; until then nothing ends the process, however long it takes. PING would not
# tell: a fenced server that loads replies MASTERDOWN.
. /etc/redis/ask.sh
reply=$(ask info persistence)
case $reply in
*loading:1*) echo "loading" ;; # first, for there is async_loading too
*loading:0*) exit 0 ;;
*) echo "no INFO: ${reply:-silent for 2 s}" ;;
esac
exit 1
