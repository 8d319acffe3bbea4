#!/bin/bash
# Part of Consign, Apache-2.0 (see LICENSE).
# Test hosts as network namespaces: h1..hN with addresses 10.77.0.1..N on a
# bridge that itself lives in a namespace (nothing is added to the root one).
#   net.sh up N | down | exec I CMD.. | cut I | heal I
#   net.sh drop SRC DST [PORT]    one direction only, dropped at DST's input
#   net.sh split "1 2" "3 4 5"    both directions between two groups
#   net.sh loss I PERCENT | rate I 2mbit | delay I MS [JITTER_MS] [REORDER_PERCENT]
#   net.sh reset SRC DST PORT     answers RST instead of silence
#   net.sh clear I                removes every rule, delay and rate at host I
set -eu
P=${NETPFX:-cn}; D=$(cd "$(dirname "$0")" && pwd); RUN=${TMPDIR:-/tmp}/$P-net; mkdir -p $RUN
ns() { echo "$P$1"; }
in_() { local i=$1; shift; ip netns exec "$(ns $i)" "$@"; }
tab() { in_ $1 nft add table inet f; in_ $1 nft 'add chain inet f i { type filter hook input priority 0; }'; in_ $1 nft 'add chain inet f o { type filter hook output priority 0; }'; }
case $1 in
up) N=$2; ip netns add ${P}sw; ip -n ${P}sw link add br0 type bridge; ip -n ${P}sw link set br0 up
    for i in $(seq $N); do ip netns add $(ns $i)
      ip link add e0 netns $(ns $i) type veth peer name p$i netns ${P}sw
      ip -n ${P}sw link set p$i master br0 up
      ip -n $(ns $i) addr add 10.77.0.$i/24 dev e0; ip -n $(ns $i) link set e0 up; ip -n $(ns $i) link set lo up; done ;;
down) for f in $RUN/*.pid; do [ -e $f ] && kill $(cat $f) 2>/dev/null || :; rm -f $f; done
    for n in $(ip netns list | awk '{print $1}' | grep "^$P"); do ip netns del $n; done ;;
exec) i=$2; shift 2; exec ip netns exec $(ns $i) "$@" ;;
cut)  ip -n ${P}sw link set p$2 down ;;
heal) ip -n ${P}sw link set p$2 up ;;
drop) tab $3; in_ $3 nft add rule inet f i ip saddr 10.77.0.$2 ${4:+tcp dport $4} drop ;;
reset) tab $3; in_ $3 nft add rule inet f i ip saddr 10.77.0.$2 tcp dport $4 reject with tcp reset ;;
split) for a in $2; do for b in $3; do $0 drop $a $b; $0 drop $b $a; done; done ;;
loss) tab $2; in_ $2 nft add rule inet f o numgen random mod 100 '<' $3 drop ;;
rate) in_ $2 tc qdisc replace dev e0 root tbf rate $3 burst 32kbit latency 400ms ;;
delay) [ -x $D/delayq ] || gcc -O2 -Wall -o $D/delayq $D/delayq.c -lnetfilter_queue -lnfnetlink
    in_ $2 iptables-legacy -t mangle -A OUTPUT -o e0 -j NFQUEUE --queue-num 7 --queue-bypass
    ip netns exec "$(ns $2)" $D/delayq 7 $3 ${4:-0} ${5:-0} >/dev/null 2>&1 </dev/null & echo $! > $RUN/$2.pid ;;
clear) in_ $2 iptables-legacy -t mangle -F; in_ $2 nft delete table inet f 2>/dev/null || :; in_ $2 tc qdisc del dev e0 root 2>/dev/null || :
    [ -e $RUN/$2.pid ] && { kill $(cat $RUN/$2.pid) || :; rm $RUN/$2.pid; } || : ;;
esac
