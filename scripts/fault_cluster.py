# Part of Consign, Apache-2.0 (see LICENSE).
"""A cluster of real processes, each on a test host of its own, and what can be done to it.

In: the binary, how many nodes, how many more may join. Out: nodes at http://10.77.0.I:8080, and this
process on one more host, that of the clients, which reaches all nodes and is named in no cut between
nodes. What must hold: whatever happens to the script, its processes, mounts and namespaces go, by the
ids that it made.
"""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request

from consign_node import START_SECONDS_MAX, STOP_SECONDS_MAX
from fault_disk import LazyDisk
from fault_network import Network, new_home
from fault_program import Unavailable, needs, run

PORT, PEER_PORT = 8080, 9080
# What the bounds on the longest gap were agreed for.
HEARTBEAT_MS, ELECTION_TIMEOUT_MS, SEAL_AFTER_MS = 150, 500, 1_500
ASK_SECONDS_MAX = 5
# How long a cluster may take to be whole after the last fault is healed.
WHOLE_SECONDS_MAX = 60
# How long one change of its members may take under load.
CHANGE_SECONDS_MAX = 60
LOOK_EVERY_SECONDS = 0.05
# Test hosts are reached directly, whatever proxy the environment names.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
FAKETIME = ["/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
            "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1", "/usr/lib64/faketime/libfaketimeMT.so.1"]


class ClusterError(Exception):
    """The cluster did not do what every case needs: start, take nodes in and out, or be whole again."""


def ask(url, path, method="GET", body=None, headers=None, seconds=ASK_SECONDS_MAX):
    """Status and JSON (or text) of one request; raises OSError when no answer came."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data=data, method=method,
                                     headers={"content-type": "application/json", **(headers or {})})
    try:
        with OPENER.open(request, timeout=seconds) as answer:
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as answer:
        with answer:
            status, text = answer.code, answer.read()
    except (ValueError, EOFError) as error:
        raise OSError(f"not HTTP: {error}") from error
    except Exception as error:
        # http.client's own errors are no OSError, and here they mean the same.
        raise OSError(str(error) or type(error).__name__) from error
    try:
        return status, json.loads(text)
    except ValueError:
        return status, text.decode(errors="replace")


class Node:
    """One node: its process, its disk, its clock."""

    def __init__(self, cluster, number):
        self.cluster, self.number = cluster, number
        self.address = f"10.77.0.{number}"
        self.url = f"http://{self.address}:{PORT}"
        self.home = cluster.home / f"node{number}"
        self.home.mkdir()
        self.data = self.home / "data"
        self.log = self.home / "log"
        self.preload, self.settings = [], {}
        self.process = self.disk = None

    def spawn(self):
        """Starts the process; whoever needs it waits until it is ready."""
        command = [*self.cluster.network.command(self.number), self.cluster.binary, "serve",
                   "--data", self.data, "--port", PORT, "--config", self.cluster.configuration(self)]
        if self.cluster.clustered:
            command += ["--node", self.number]
        environment = {**os.environ, "CONSIGN__LOG__LEVEL": "info", "CONSIGN__LOG__FORMAT": "json", **self.settings}
        if self.preload:
            environment["LD_PRELOAD"] = ":".join(self.preload)
        with open(self.log, "ab") as log:
            log.write(b"--- start\n")
            log.flush()
            self.process = subprocess.Popen([str(part) for part in command], env=environment, stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, start_new_session=True)

    def is_alive(self):
        return self.process is not None and self.process.poll() is None

    def is_ready(self):
        with contextlib.suppress(OSError):
            return ask(self.url, "/readyz", seconds=2)[0] == 200
        return False

    def kill(self):
        """SIGKILL: no goodbye, no flush."""
        if self.is_alive():
            self.process.kill()
        if self.process is not None:
            self.process.wait(STOP_SECONDS_MAX)

    def stop(self):
        """SIGTERM; answers the exit code, or None for one that had to be killed."""
        self.process.terminate()
        try:
            return self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def lose_disk(self):
        """SIGKILL, and nothing of what it held is there any more."""
        self.kill()
        shutil.rmtree(self.data)

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def ends_within(self, seconds):
        """Waits for the process to end by itself; its exit code, or None when it goes on."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def start(self, seconds=START_SECONDS_MAX):
        """Starts it and waits until it is ready; how long that took."""
        began = time.monotonic()
        self.spawn()
        self.wait_ready(seconds)
        return time.monotonic() - began

    def wait_ready(self, seconds=START_SECONDS_MAX):
        until = time.monotonic() + seconds
        while not self.is_ready():
            if not self.is_alive():
                raise ClusterError(f"node {self.number} ended with {self.process.returncode}:\n{self.log_tail()}")
            if time.monotonic() > until:
                raise ClusterError(f"node {self.number} is not ready within {seconds} s:\n{self.log_tail()}")
            time.sleep(LOOK_EVERY_SECONDS)

    def is_preloaded(self):
        """Whether its process has every library that its faults need: without them it would only seem robust."""
        maps = pathlib.Path(f"/proc/{self.process.pid}/maps").read_text()
        return all(os.path.basename(library) in maps for library in self.preload)

    def log_tail(self, lines=12):
        with open(self.log, errors="replace") as log:
            return "".join(f"    {line}" for line in log.readlines()[-lines:])

    # Faults of its disk and clock. They are prepared before it starts and acted on while it runs.

    def with_disk_faults(self, path_part="journal.log"):
        library = self.cluster.tool("iofault.so", "gcc", "-shared", "-fPIC", "-O2", "-o", "iofault.so",
                                    "iofault.c", "-ldl")
        self.preload.append(str(library))
        self.settings |= {"IOFAULT_PATH": path_part, "IOFAULT_CTL": str(self.home / "iofault")}
        self.disk_fault("none")

    def disk_fault(self, mode):
        # In one piece: what reads it must not find half a line.
        draft = self.home / "iofault.new"
        draft.write_text(mode + "\n")
        draft.replace(self.home / "iofault")

    def with_clock(self):
        library = next((path for path in FAKETIME if os.path.exists(path)), None)
        if library is None:
            raise Unavailable("libfaketime is missing (apt-get install libfaketime)")
        self.preload.append(library)
        self.settings |= {"FAKETIME_TIMESTAMP_FILE": str(self.home / "clock"), "FAKETIME_NO_CACHE": "1",
                          "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        self.set_clock(0)

    def set_clock(self, seconds):
        draft = self.home / "clock.new"
        draft.write_text(f"{seconds:+d}\n")
        draft.replace(self.home / "clock")

    def with_lazy_disk(self):
        """Its data lies on a disk that keeps what is not synced in memory only."""
        if not os.path.exists("/dev/fuse"):
            raise Unavailable("there is no /dev/fuse")
        needs(("gcc", "gcc"), ("pkg-config", "pkg-config"), ("fusermount3", "fuse3"))
        flags = run("pkg-config", "--cflags", "--libs", "fuse3").split()
        self.disk = LazyDisk(self.home, self.cluster.tool("lazyfs", "gcc", "-O2", "-o", "lazyfs", "lazyfs.c", *flags))
        self.data = self.disk.mount / "data"

    def lose_power(self, kept_percent=0, seed=1):
        """The process is gone, and with it what the disk had not been told to sync."""
        self.disk.cut(kept_percent, seed)
        self.kill()
        self.disk.replace()

    def close(self):
        self.kill()
        if self.disk is not None:
            self.disk.close()


class Cluster:
    """Nodes on test hosts. `with` ends, unmounts and removes everything in any case."""

    def __init__(self, count, binary, joining=0):
        self.home = new_home()
        self.binary = os.path.abspath(binary)
        self.clustered = count > 1
        # Those that are in it, and those that were taken out.
        self.nodes, self.gone, self.network = [], [], None
        try:
            self.network = Network(count + joining + 1, self.home)
            if self.clustered:
                self.certify(count)
            self.nodes = [Node(self, number) for number in range(1, count + 1)]
        except BaseException:
            self.close()
            raise

    def tool(self, name, *command):
        """A fault's program, built once, in the copy of its source."""
        file = self.network.tools / name
        if not file.exists():
            needs((command[0], command[0]))
            done = subprocess.run(command, cwd=self.network.tools, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True)
            if done.returncode != 0:
                raise Unavailable(f"{name} cannot be built: {done.stdout.strip()[-300:]}")
        return file

    def certify(self, count):
        run(self.binary, "certs", self.home / "certs", "--nodes", count)

    def configuration(self, node):
        members = ", ".join(f'"{n.number}={n.address}:{PEER_PORT}"' for n in self.nodes)
        text = f'[server]\naddress = "{node.address}"\n'
        if self.clustered:
            text += (f'\n[cluster]\ncertificates = "{self.home / "certs"}"\nmembers = [{members}]\n'
                     f"heartbeat_ms = {HEARTBEAT_MS}\nelection_timeout_ms = {ELECTION_TIMEOUT_MS}\n"
                     f"seal_after_ms = {SEAL_AFTER_MS}\n")
        file = node.home / "consign.toml"
        file.write_text(text)
        return file

    def start(self):
        for node in self.nodes:
            node.spawn()
        for node in self.nodes:
            node.wait_ready()
        return self.wait_whole()

    def add(self):
        """One more node, started empty and not asked in yet: the others do not know of it."""
        node = Node(self, len(self.nodes) + len(self.gone) + 1)
        self.nodes.append(node)
        self.certify(node.number)
        node.spawn()
        return node

    def join(self, node, through):
        """Has it voted in by whichever node is asked; it serves once it has everything."""
        self.change(through, "join", node.number, f"{node.address}:{PEER_PORT}")
        node.wait_ready()

    def drain(self, node, through):
        """Takes it out; it runs on, and nobody counts on it any more."""
        self.change(through, "drain", node.number)
        self.nodes.remove(node)
        self.gone.append(node)

    def change(self, through, *what):
        """Runs `consign cluster` against a node until what it asks for is done everywhere."""
        try:
            run(self.binary, "cluster", "--target", through.url, *what, seconds=CHANGE_SECONDS_MAX)
        except (Unavailable, subprocess.TimeoutExpired) as error:
            raise ClusterError(f"`consign cluster {' '.join(map(str, what))}` at node {through.number}: {error}") \
                from error

    def others(self, *nodes):
        return [node for node in self.nodes if node not in nodes]

    def urls(self):
        return {node.number: node.url for node in self.nodes}

    def view(self, node):
        """/v1/cluster as that node gives it; None when it gives none."""
        with contextlib.suppress(OSError):
            status, answer = ask(node.url, "/v1/cluster", seconds=2)
            if status == 200:
                return answer
        return None

    def leads(self):
        """How many partitions each node leads, as the first node that answers sees it."""
        until = time.monotonic() + WHOLE_SECONDS_MAX
        while time.monotonic() < until:
            for node in self.nodes:
                view = self.view(node) if node.is_alive() else None
                if view and all(partition["leader"] for partition in view["partitions"]):
                    leaders = [partition["leader"] for partition in view["partitions"]]
                    return {n.number: leaders.count(n.number) for n in self.nodes}
            time.sleep(LOOK_EVERY_SECONDS)
        raise ClusterError("no node says who leads each partition")

    def leader(self):
        """The node that leads most partitions."""
        leads = self.leads()
        return max(self.nodes, key=lambda node: leads[node.number])

    def follower(self):
        """The node that leads fewest partitions."""
        leads = self.leads()
        return min(self.nodes, key=lambda node: leads[node.number])

    def wait_whole(self, seconds=WHOLE_SECONDS_MAX):
        """Waits until all nodes agree on every leader and have applied the same; how long it took."""
        began, seen, why = time.monotonic(), None, "nothing was seen"
        while time.monotonic() - began < seconds:
            views = {}
            with concurrent.futures.ThreadPoolExecutor(len(self.nodes)) as pool:
                for node, ready, view in pool.map(lambda n: (n, n.is_ready(), self.view(n)), self.nodes):
                    views[node.number] = view if ready else None
            why = self.why_not_whole(views)
            shape = json.dumps([view and view["partitions"] for view in views.values()])
            # Twice the same: whole and quiet, not by chance in between.
            if why is None and shape == seen:
                return time.monotonic() - began
            seen = shape if why is None else None
            time.sleep(0.3)
        raise ClusterError(f"not whole after {seconds} s: {why}")

    def why_not_whole(self, views):
        """None when each node shows the same leaders, terms and applied indexes, and all voters."""
        first = None
        for number, view in views.items():
            if view is None:
                return f"node {number} is not ready, or shows no cluster"
            for partition in view["partitions"]:
                name = f"partition {partition['partition']} on node {number}"
                if not partition["leader"]:
                    return f"{name} has no leader"
                if self.clustered and sorted(partition["voters"]) != sorted(node.number for node in self.nodes):
                    return f"{name} has the voters {partition['voters']}"
                if partition["applied_index"] != partition["last_index"]:
                    return f"{name} has applied {partition['applied_index']} of {partition['last_index']}"
            shape = [[p["partition"], p["leader"], p["term"], p["applied_index"]] for p in view["partitions"]]
            if first is not None and shape != first:
                return f"nodes differ in (partition, leader, term, applied): {first} and on node {number} {shape}"
            first = shape
        return None

    # Faults of the network.

    def cut(self, node):
        self.network.do("cut", node.number)

    def heal(self):
        """Takes back every fault of the network."""
        for node in self.nodes:
            self.network.do("heal", node.number)
            self.network.do("clear", node.number)

    def drop(self, source, target):
        """Loses what one node sends to the other, in this direction only."""
        self.network.do("drop", source.number, target.number)

    def split(self, one, other):
        self.network.do("split", " ".join(str(n.number) for n in one), " ".join(str(n.number) for n in other))

    def loss(self, percent):
        for node in self.nodes:
            self.network.do("loss", node.number, percent)

    def delay(self, milliseconds):
        for node in self.nodes:
            self.network.delay(node.number, milliseconds)

    def keep(self, directory):
        """Copies logs and configurations there, for whoever looks into a failure."""
        for node in [*self.nodes, *self.gone]:
            target = pathlib.Path(directory) / f"node{node.number}"
            target.mkdir(parents=True, exist_ok=True)
            for name in ("log", "consign.toml", "lazyfs.log"):
                if (node.home / name).exists():
                    shutil.copy(node.home / name, target)

    def close(self):
        for node in [*self.nodes, *self.gone]:
            # One that does not end must not keep the others.
            with contextlib.suppress(Exception):
                node.close()
        if self.network is not None:
            self.network.close()
        shutil.rmtree(self.home, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
