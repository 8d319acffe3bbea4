#!/usr/bin/env python3
# Part of Consign, Apache-2.0 (see LICENSE).
"""Writes order.pgbench: one order of 1-4 lines whose SKUs follow Zipf's law.

usage: scripts/postgres/gen.py [SKUS] [THETA] [LOCATIONS] > scripts/postgres/order.pgbench

pgbench's own random_zipfian refuses theta <= 1, so the script draws by J. Gray et al., "Quickly
Generating Billion-Record Synthetic Databases" (SIGMOD 1994), as consign simulate does.
"""

import sys

LINES_MAX = 4


def main():
    skus = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    theta = float(sys.argv[2]) if len(sys.argv) > 2 else 0.99
    locations = int(sys.argv[3]) if len(sys.argv) > 3 else 50
    zeta = sum(1 / i**theta for i in range(1, skus + 1))
    second = 1 + 0.5**theta
    alpha = 1 / (1 - theta)
    eta = (1 - (2 / skus) ** (1 - theta)) / (1 - second / zeta)
    print("-- Part of Consign, Apache-2.0 (see LICENSE). Written by gen.py.")
    print(f"-- One order of 1-{LINES_MAX} lines, SKU ~ Zipf({theta:g}) over {skus} SKUs, {locations} locations.")
    for i in range(1, LINES_MAX + 1):
        print(f"\\set u{i} random(1,1000000000) / 1000000000.0")
        print(f"\\set z{i} :u{i} * {zeta:.12f}")
        tail = f"least({skus}, 1 + int({skus} * pow({eta:.12f} * :u{i} - {eta - 1:.12f}, {alpha:.6f})))"
        print(f"\\set s{i} case when :z{i} < 1 then 1 when :z{i} < {second:.12f} then 2 else {tail} end")
        print(f"\\set l{i} random(1,{locations})")
        print(f"\\set q{i} random(1,3)")
    print("\\set c random(1,1000000)")
    print(f"\\set k random(1,{LINES_MAX})")
    for k in range(1, LINES_MAX + 1):
        def array(letter):
            return "ARRAY[" + ",".join(f":{letter}{i}" for i in range(1, k + 1)) + "]::int[]"
        head = "\\if" if k == 1 else "\\elif"
        print(f"{head} :k = {k}" if k < LINES_MAX else "\\else")
        print(f"SELECT bench.place_order(:c, {array('s')}, {array('l')}, {array('q')});")
    print("\\endif")


if __name__ == "__main__":
    main()
