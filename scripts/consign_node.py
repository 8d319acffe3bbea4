# Part of Consign, Apache-2.0 (see LICENSE).
"""What the scripts beside this file share: a node in a process of its own, limits, reports.

In: the release binary (built when it is missing; BIN names another one). Out: a node on a
temporary data directory that is ended by its process id, whatever happens to the script.
"""

import contextlib
import json
import os
import pathlib
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# How long a node may take to recover and serve, and to stop.
START_SECONDS_MAX = 120
STOP_SECONDS_MAX = 60
# Exit code of a script that could not do its work here, as in automake's test protocol.
SKIPPED = 77


def say(text):
    """For people; stdout belongs to the report."""
    print(text, file=sys.stderr, flush=True)


def skip(reason):
    say(f"skipped: {reason}")
    sys.exit(SKIPPED)


def end_on_signals():
    """Turns SIGTERM into an exit, so that every `finally` and `with` cleans up."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def binary():
    """The release binary."""
    if os.environ.get("BIN"):
        return os.environ["BIN"]
    command = ["cargo", "build", "--release", "--quiet", "-p", "consign"]
    subprocess.run(command, cwd=ROOT, check=True)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return str(ROOT / target / "release" / "consign")


def machine():
    """Where figures were taken, for reports."""
    cpu = "unknown CPU"
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                cpu = line.split(":", 1)[1].strip()
                break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return f"{os.cpu_count()} × {cpu}, {memory / 2**30:.0f} GiB, {platform.system()} {platform.release()}"


class Limits:
    """A control group of its own (v1 or v2) with bounds on memory and CPU; needs root."""

    def __init__(self, name, memory_bytes, cpus=None):
        name = f"consign-{name}-{os.getpid()}"
        base = pathlib.Path("/sys/fs/cgroup")
        unified = (base / "cgroup.controllers").exists()
        homes = [base / name] if unified else [base / "memory" / name, base / "cpu" / name]
        self.homes = homes
        try:
            for home in homes:
                home.mkdir()
            period = 100_000
            if unified:
                (homes[0] / "memory.max").write_text(str(memory_bytes))
                with contextlib.suppress(OSError):
                    (homes[0] / "memory.swap.max").write_text("0")
                if cpus:
                    (homes[0] / "cpu.max").write_text(f"{int(cpus * period)} {period}")
            else:
                (homes[0] / "memory.limit_in_bytes").write_text(str(memory_bytes))
                if cpus:
                    (homes[1] / "cpu.cfs_period_us").write_text(str(period))
                    (homes[1] / "cpu.cfs_quota_us").write_text(str(int(cpus * period)))
        except OSError:
            self.remove()
            raise

    def enter(self):
        """Called in the child between fork and exec: it and its threads live in the group."""
        for home in self.homes:
            (home / "cgroup.procs").write_text(str(os.getpid()))

    def remove(self):
        for home in self.homes:
            with contextlib.suppress(OSError):
                home.rmdir()


class Node:
    """A node that serves until it is stopped; `with` ends it in any case."""

    def __init__(self, settings=None, limits=None, data=None):
        self.home = tempfile.mkdtemp(prefix="consign-")
        self.data = data or os.path.join(self.home, "data")
        self.settings = settings or {}
        self.limits = limits
        self.binary = binary()
        self.process = None
        self.start()

    def start(self):
        """Starts it; answers how many seconds that took until it served."""
        began = time.monotonic()
        environment = {**os.environ, "CONSIGN__LOG__LEVEL": "warn", **self.settings}
        with open(os.path.join(self.home, "log"), "ab") as log:
            self.process = subprocess.Popen(
                [self.binary, "serve", "--port", "0", "--data", self.data],
                env=environment, stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL,
                preexec_fn=self.limits.enter if self.limits else None, text=True,
            )
        line = self.process.stdout.readline()
        if "http://" not in line:
            raise RuntimeError(f"the node did not start: {line!r}\n{self.log_tail()}")
        self.url = line.split()[-1].rstrip("/")
        while self.get("/readyz")[0] != 200:
            if time.monotonic() - began > START_SECONDS_MAX:
                raise RuntimeError("the node is not ready in time")
            time.sleep(0.02)
        return time.monotonic() - began

    def log_tail(self):
        with open(os.path.join(self.home, "log"), errors="replace") as log:
            return "".join(log.readlines()[-20:])

    def get(self, path, timeout=10):
        """Status, headers and body of one GET."""
        return self.ask("GET", path, None, timeout)

    def ask(self, method, path, body=None, timeout=10):
        """Status, headers and JSON of one request."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path, data=data, method=method,
            headers={"content-type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as answer:
            with answer:
                return answer.code, dict(answer.headers), answer.read()

    def figure(self, name):
        """One figure of /metrics, summed over its labels."""
        text = self.get("/metrics")[2].decode()
        rows = [row.rsplit(" ", 1) for row in text.splitlines() if row.startswith(name)]
        return sum(float(value) for key, value in rows if key.split("{")[0] == name)

    def rss_bytes(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        return 0

    def rss_peak_bytes(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        return 0

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND

    def client(self, *arguments, check=True, timeout=1_800):
        """Runs another process of the binary against this node; answers its JSON."""
        command = [self.binary, *map(str, arguments), "--target", self.url, "--json"]
        done = subprocess.run(command, stdout=subprocess.PIPE, timeout=timeout)
        if check and done.returncode != 0:
            said = done.stdout.decode(errors="replace")[-2_000:]
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {said}")
        return json.loads(done.stdout) if done.stdout.strip() else {"exit": done.returncode}

    def kill(self):
        """SIGKILL: no goodbye, no flush."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.process.returncode

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.stop()
        finally:
            shutil.rmtree(self.home, ignore_errors=True)
            if self.limits:
                self.limits.remove()
