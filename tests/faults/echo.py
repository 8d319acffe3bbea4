#!/usr/bin/env python3
# Part of Consign, Apache-2.0 (see LICENSE).
"""echo.py serve ADDR PORT | ping ADDR PORT [N]: the TCP server and probe of net-test.sh."""
import socket, sys, time, threading, statistics as st
def one(c):
    while d := c.recv(65536): c.sendall(d)
m, a, p = sys.argv[1], sys.argv[2], int(sys.argv[3])
if m == 'serve':
    s = socket.create_server((a, p))
    while True: threading.Thread(target=one, args=(s.accept()[0],), daemon=True).start()
ts = []
try:
    t = time.time(); c = socket.create_connection((a, p), 2); c.settimeout(2); c.setsockopt(6, 1, 1)
    for _ in range(int(sys.argv[4]) if len(sys.argv) > 4 else 20):
        u = time.time(); c.sendall(b'x' * 100); c.recv(4096); ts.append(1e3 * (time.time() - u))
    print(f'ok   {a}:{p} rtt ms median {st.median(ts):.2f} max {max(ts):.2f}')
except OSError as e: print(f'FAIL {a}:{p} after {time.time()-t:.2f} s: {e}')
