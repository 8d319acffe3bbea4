# Part of Consign, Apache-2.0 (see LICENSE).
"""A directory with a cluster on this machine, whose nodes run in the background.

In: the directory, how many nodes, the first port. Out: nodes that outlive the command that started them,
and what each of them does. What must hold: a signal reaches the process that was started, never another
that got its number; one command at a time changes what is written down.
"""

import contextlib
import fcntl
import http.client
import json
import os
import pathlib
import shlex
import signal
import socket
import subprocess
import time

from consign_node import binary

HOST = "127.0.0.1"
BASE_PORT = 8080
# Between a node's port for clients and its port for other nodes.
PEER_PORT_OFFSET = 1_000
PARTITIONS_PER_CORE = 2
PROBE_SECONDS_MAX = 2
LOOK_EVERY_SECONDS = 0.05
LOG_LINES_SHOWN = 30
# Opens the line that each start puts into a node's log.
LOG_BEGIN = "--- "

FAILED, USAGE = 1, 2
ALIVE, PAUSED, DEAD = "alive", "paused", "dead"


class Refusal(Exception):
    """Why nothing more is done, and the exit code that says so."""

    def __init__(self, text, code=FAILED):
        super().__init__(text)
        self.code = code


def process_stat(pid):
    """State letter and start time of a process; None when there is none."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return fields[0], int(fields[19])


class Node:
    """One node by its number; what is known of its process lies in the cluster's state."""

    def __init__(self, cluster, number):
        self.cluster, self.number, self.name = cluster, number, f"node{number}"
        self.port = cluster.base_port + number - 1
        self.peer_port = self.port + PEER_PORT_OFFSET
        self.url = f"http://{HOST}:{self.port}"
        self.log = cluster.home / f"{self.name}.log"

    @property
    def pid(self):
        return self.cluster.processes.get(self.name, {}).get("pid")

    def state(self):
        stat = process_stat(self.pid) if self.pid else None
        # The same number with another start time is another process.
        if stat is None or stat[1] != self.cluster.processes[self.name]["started"] or stat[0] in "ZX":
            return DEAD
        return PAUSED if stat[0] == "T" else ALIVE

    def send(self, number):
        """Sends a signal to the process that was started, never to another that got its number."""
        if self.pid is None:
            return
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            # The handle stays with one process, so that what is found now holds for the signal.
            if self.state() != DEAD:
                signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            pass
        finally:
            os.close(handle)

    def becomes(self, state, seconds):
        """Waits until it is in that state; false when it is not in time."""
        until = time.monotonic() + seconds
        while self.state() != state:
            if time.monotonic() > until:
                return False
            time.sleep(LOOK_EVERY_SECONDS)
        return True

    def spawn(self):
        """Starts the process, which outlives this one, and writes down which it is."""
        for port in (self.port, self.peer_port):
            with socket.socket() as probe:
                # As the node itself does: a port is free although old connections to it fade away.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((HOST, port))
                except OSError as error:
                    raise Refusal(f"{self.name} cannot have port {port}: {error.strerror}") from error
        command = [self.cluster.binary(), "serve", "--config", str(self.cluster.config), "--node", str(self.number),
                   "--data", str(self.cluster.home / self.name), "--port", str(self.port)]
        with open(self.log, "ab") as log:
            log.write(f"{LOG_BEGIN}{time.strftime('%Y-%m-%d %H:%M:%S')} {shlex.join(command)}\n".encode())
            log.flush()
            try:
                # A session of its own, so that Ctrl-C here does not end it.
                process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                                           start_new_session=True)
            except OSError as error:
                raise Refusal(f"cannot run {command[0]}: {error.strerror}") from error
        # Even one that ended at once is still there, as a child that nobody has waited for.
        self.cluster.processes[self.name] = {"pid": process.pid, "started": process_stat(process.pid)[1]}
        self.cluster.write()

    def readiness(self):
        """What /readyz says: its status, and why when that is not 200."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=PROBE_SECONDS_MAX)
        try:
            connection.request("GET", "/readyz")
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            return None, f"no answer: {error}"
        finally:
            connection.close()
        with contextlib.suppress(ValueError, AttributeError):
            text = json.loads(text).get("detail") or text
        return answer.status, " ".join(text.split())[:200]

    def log_tail(self):
        lines = self.log.read_text(errors="replace").splitlines()
        # What an earlier process said would only mislead.
        begins = max((at for at, line in enumerate(lines) if line.startswith(LOG_BEGIN)), default=0)
        lines = lines[begins:][-LOG_LINES_SHOWN:]
        return "\n".join(f"  {line}" for line in lines)

    def line(self):
        return f"{self.name} {self.url} pid {self.pid}"


class Cluster:
    """A directory with a cluster's state: how many nodes, their ports, their processes."""

    def __init__(self, home):
        self.home = pathlib.Path(home).resolve()
        self.config, self.state_file = self.home / "cluster.toml", self.home / "cluster.json"
        self.count, self.base_port, self.processes, self.program = 0, BASE_PORT, {}, None

    @property
    def nodes(self):
        return [Node(self, number) for number in range(1, self.count + 1)]

    def binary(self):
        if self.program is None:
            self.program = binary()
        return self.program

    @contextlib.contextmanager
    def locked(self):
        """One command at a time reads and changes the state; nobody waits for a node in here."""
        with open(self.home / "cluster.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.read()
            yield

    def is_made(self):
        return self.state_file.exists()

    def read(self):
        if not self.is_made():
            return
        try:
            state = json.loads(self.state_file.read_text())
            self.count, self.base_port, self.processes = state["nodes"], state["base_port"], state["processes"]
        except (ValueError, KeyError, TypeError) as error:
            raise Refusal(f"{self.state_file} cannot be read ({error!r}); look for its nodes with ps, and remove it") \
                from error

    def write(self):
        """In one piece: whoever reads beside it sees the old state or the new one."""
        state = {"nodes": self.count, "base_port": self.base_port, "processes": self.processes}
        draft = self.state_file.with_suffix(".json.new")
        draft.write_text(json.dumps(state, indent=1) + "\n")
        draft.replace(self.state_file)

    def make(self, count, base_port):
        """Settles the shape of a cluster that is not there yet; refuses another shape for one that is."""
        if not self.is_made():
            self.count, self.base_port = count, BASE_PORT if base_port is None else base_port
            last = self.base_port + PEER_PORT_OFFSET + count - 1
            if self.base_port < 1 or last > 65_535:
                raise Refusal(f"--base-port {self.base_port} is out of range: {count} nodes use the ports from it up "
                              f"to {last}", USAGE)
        elif count != self.count or base_port not in (None, self.base_port):
            raise Refusal(f"{self.home} holds a cluster of {self.count} from port {self.base_port}, which stays as it "
                          "was made; name another --data, or remove it to begin anew", USAGE)
        self.make_certificates()
        # One that is there may have been edited.
        if not self.is_made() or not self.config.exists():
            self.config.write_text(self.configuration())
        self.write()

    def make_certificates(self):
        home = self.home / "certs"
        needed = [home / "authority.pem"]
        needed += [home / f"node-{node.number}.{kind}" for node in self.nodes for kind in ("pem", "key")]
        if all(file.exists() for file in needed):
            return
        try:
            made = subprocess.run([self.binary(), "certs", str(home), "--nodes", str(self.count)],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        except OSError as error:
            raise Refusal(f"cannot run {self.binary()}: {error.strerror}") from error
        if made.returncode != 0:
            said = made.stdout.decode(errors="replace").strip()
            raise Refusal(f"no certificates; `consign certs` ended with {made.returncode}: {said}")

    def configuration(self):
        # JSON writes a text as TOML does.
        def quoted(text):
            return json.dumps(str(text), ensure_ascii=False)

        cores = os.cpu_count() or 1
        members = "\n".join(f"  {quoted(f'{node.number}={HOST}:{node.peer_port}')}," for node in self.nodes)
        return f"""\
# Written by scripts/cluster, read by each node when it starts; --node, --data and --port are over it.
# cluster-config/template.toml explains every setting.

[server]
address = {quoted(HOST)}

[storage]
# The same on every node, and fixed when its directory is made: a few per core, and one per node at
# least. The nodes share this machine's {cores} cores.
partitions = {max(PARTITIONS_PER_CORE * cores, len(self.nodes))}

[runtime]
# As many threads as its share: more would only take the cores from each other.
threads = {max(cores // len(self.nodes), 1)}

[cluster]
certificates = {quoted(self.home / "certs")}
members = [
{members}
]
"""
