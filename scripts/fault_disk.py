# Part of Consign, Apache-2.0 (see LICENSE).
"""A disk that loses what was not synced when its power goes.

In: a node's home, the program of tests/faults/lazyfs.c. Out: a directory that looks like any other,
until it is cut. What must hold: it is unmounted and its program ended, whatever was done to it.
"""

import contextlib
import os
import subprocess
import time

from fault_program import Unavailable


class LazyDisk:
    """tests/faults/lazyfs.c over a directory of its own."""

    def __init__(self, home, program):
        self.program, self.log = program, home / "lazyfs.log"
        self.backing, self.mount = home / "backing", home / "disk"
        self.backing.mkdir()
        self.mount.mkdir()
        self.process = None
        self.open()

    def open(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", str(self.program), str(self.backing), str(self.mount), "-f"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until = time.monotonic() + 10
        while not os.path.ismount(self.mount):
            if self.process.poll() is not None or time.monotonic() > until:
                raise Unavailable(f"FUSE does not work here: {self.log.read_text(errors='replace').strip()[-300:]}")
            time.sleep(0.02)

    def cut(self, kept_percent, seed):
        (self.mount / ".cut").write_text(f"cut {kept_percent} {seed} 512")

    def replace(self):
        self.close()
        self.open()

    def close(self):
        subprocess.run(["umount", "-l", str(self.mount)], stderr=subprocess.DEVNULL, check=False)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        self.process.kill()
        self.process.wait()
