#!/bin/bash
# Part of Consign, Apache-2.0 (see LICENSE).
# Shows every network fault of net.sh working on this machine.
cd "$(dirname "$0")"; N=./net.sh; $N down; $N up 3; pids=
for i in 1 2 3; do for p in 7001 7002; do $N exec $i python3 echo.py serve 10.77.0.$i $p & pids="$pids $!"; done; done
trap 'kill $pids; $N down' EXIT; sleep 1
ping() { printf '  h%s->' $1; $N exec $1 python3 echo.py ping 10.77.0.$2 ${3:-7001} ${4:-20}; }
echo "clean";            ping 1 2; ping 2 1
echo "link of h2 down";  $N cut 2; ping 1 2; ping 1 3; $N heal 2; t=$(date +%s%N); ping 1 2; echo "  healed in $(( ($(date +%s%N)-t)/1000000 )) ms"
echo "h1->h2 port 7001 dropped"; $N drop 1 2 7001; ping 1 2; ping 1 2 7002; ping 3 2; $N clear 2
echo "h1->h2 new+old packets dropped, one direction (asymmetric)"; $N drop 1 2; ping 1 2; ping 1 3; $N clear 2; ping 1 2
echo "RST instead of silence"; $N reset 1 2 7001; ping 1 2; $N clear 2
echo "split {1} {2 3}";  $N split "1" "2 3"; ping 1 2; ping 2 3; for i in 1 2 3; do $N clear $i; done; ping 1 2
echo "loss 20% at h1";   $N loss 1 20; ping 1 2 7001 100; $N clear 1
echo "delay 25 ms +- 5 at h1"; $N delay 1 25 5; sleep .3; ping 1 2 7001 50; $N clear 1; ping 1 2
echo "rate 2 mbit at h1"; $N rate 1 2mbit; $N exec 1 python3 - <<'P'
import socket,time
c=socket.create_connection(('10.77.0.2',7001));t=time.time()
import threading
threading.Thread(target=lambda:c.sendall(b'x'*1_000_000),daemon=True).start()
n=0
while n<1_000_000: n+=len(c.recv(65536))
print(f'  1 MB in {time.time()-t:.2f} s = {8/(time.time()-t):.2f} Mbit/s')
P
$N clear 1
