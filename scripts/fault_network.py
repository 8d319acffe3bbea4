# Part of Consign, Apache-2.0 (see LICENSE).
"""Test hosts as network namespaces, and what can be done to the lines between them.

In: how many. Out: hosts 10.77.0.1 and on, that tests/faults/net.sh makes; this process is on the last
one while they are there. What must hold: namespaces and mounts are removed by the names that were made
here, also those of a run that was killed. Needs root.
"""

import contextlib
import ctypes
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time

from consign_node import ROOT
from fault_program import Unavailable, needs, run

FAULTS = ROOT / "tests" / "faults"
CLONE_NEWNET = 0x4000_0000
NETNS_HOME = pathlib.Path("/run/netns")


class Network:
    """Test hosts 1 to `count` on a bridge; this process is on the last one while it is open."""

    def __init__(self, count, home):
        if os.geteuid() != 0:
            raise Unavailable("network namespaces need root")
        needs(("ip", "iproute2"), ("nft", "nftables"), ("iptables-legacy", "iptables"), ("setpriv", "util-linux"))
        sweep()
        self.count, self.home = count, home
        # Ended by a letter, so that no prefix begins another one.
        self.prefix = f"cf{os.getpid()}x"
        self.tools = home / "faults"
        shutil.copytree(FAULTS, self.tools)
        self.environment = {**os.environ, "NETPFX": self.prefix, "TMPDIR": str(home)}
        self.outside = os.open("/proc/self/ns/net", os.O_RDONLY)
        try:
            self.do("up", count)
            inside = os.open(NETNS_HOME / f"{self.prefix}{count}", os.O_RDONLY)
            try:
                join_network(inside)
            finally:
                os.close(inside)
        except BaseException:
            self.close()
            raise

    def do(self, *arguments):
        run("bash", self.tools / "net.sh", *arguments, environment=self.environment)

    def command(self, host):
        """What runs a program on a host, and lets it not outlive this process."""
        return ["ip", "netns", "exec", f"{self.prefix}{host}", "setpriv", "--pdeathsig", "KILL", "--"]

    def delay(self, host, milliseconds):
        needs(("gcc", "gcc"))
        tool = self.tools / "delayq"
        if not tool.exists():
            run("gcc", "-O2", "-o", tool, self.tools / "delayq.c", "-lnetfilter_queue", "-lnfnetlink")
        self.do("delay", host, milliseconds)
        # net.sh leaves it in the background; one that could not bind its queue is gone by now.
        time.sleep(0.1)
        pid = int((self.home / f"{self.prefix}-net" / f"{host}.pid").read_text())
        if not pathlib.Path(f"/proc/{pid}").exists():
            raise Unavailable("delayq does not run: this kernel has no NFQUEUE")

    def close(self):
        with contextlib.suppress(OSError):
            join_network(self.outside)
        os.close(self.outside)
        with contextlib.suppress(Unavailable, subprocess.TimeoutExpired):
            self.do("down")


def new_home():
    """A directory that says whose it is."""
    return pathlib.Path(tempfile.mkdtemp(prefix=f"consign-faults-{os.getpid()}-"))


def sweep():
    """Removes what earlier runs of this script left that were killed: their processes died with them."""
    for name in os.listdir(NETNS_HOME) if NETNS_HOME.exists() else []:
        made = re.fullmatch(r"cf(\d+)x(sw|\d+)", name)
        if made and not pathlib.Path(f"/proc/{made[1]}").exists():
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL, check=False)
    for home in pathlib.Path(tempfile.gettempdir()).glob("consign-faults-*-*"):
        made = re.fullmatch(r"consign-faults-(\d+)-\w+", home.name)
        if made and not pathlib.Path(f"/proc/{made[1]}").exists():
            # Without looking at them: a disk whose program is gone answers every look with an error.
            for node in os.listdir(home):
                subprocess.run(["umount", "-l", str(home / node / "disk")], stderr=subprocess.DEVNULL, check=False)
            shutil.rmtree(home, ignore_errors=True)


def join_network(handle):
    """Moves the calling thread, and all that it starts from now on, into a network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(handle, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
