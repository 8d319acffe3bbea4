# Part of Consign, Apache-2.0 (see LICENSE).
"""The cases of scripts/fault-tests: what each breaks, for how long, and how it is healed.

In: a cluster that serves and clients at work. Out: nodes that all run again on a network without
faults, or are taken out, and what was already wrong by then. What must hold: a fault that did nothing
is itself a fault, as a cluster that is not broken survives everything.
"""

import collections.abc
import dataclasses
import time

from fault_checker import Fault, judge_shape

# Bounds on the longest time in which nobody is answered.
KILL_GAP_SECONDS_MAX, CUT_GAP_SECONDS_MAX, PAUSE_GAP_SECONDS_MAX = 2, 5, 5
# And on what 99 of 100 orders take while nodes come and go as they should: they are told before.
PLANNED_P99_SECONDS_MAX = 0.5
# Between two parts of a case, so that one does not hide the other.
BETWEEN_SECONDS = 4
PAUSE_SECONDS, CUT_SECONDS, DEAD_SECONDS, DRAINED_SECONDS = 15, 10, 3, 3
# Each node looks every 2 s, and moves a lead that it finds misplaced twice.
EVEN_SECONDS_MAX = 20
SLOW_SYNC_MS, CLOCK_JUMP_SECONDS = 200, 3_600
# A node whose storage failed says so for two seconds and ends with this code.
STORAGE_FAILED, STORAGE_FAILED_SECONDS_MAX = 4, 20

CASES = {}


@dataclasses.dataclass(frozen=True)
class Case:
    """What is broken; `prepare` is done to each node before it starts."""

    run: collections.abc.Callable
    gap_seconds_max: float | None
    nodes: int
    joining: int
    prepare: collections.abc.Callable | None
    every_order: bool
    slower: tuple | None
    p99_seconds_max: float | None


def case(gap, nodes=3, joining=0, prepare=None, every_order=False, slower=None, p99_max=None):
    """`joining`: how many nodes come to those at the start. `every_order`: no client may have given up on
    an order. `slower`: a percentile of an order's time while it is broken, and the least it then is: else
    the fault had no effect. `p99_max`: what 99 of 100 orders take at most while nodes come and go."""
    def register(function):
        CASES[function.__name__] = Case(function, gap, nodes, joining, prepare, every_order, slower, p99_max)
        return function
    return register


class Run:
    """One case under way."""

    def __init__(self, cluster, load):
        self.cluster, self.load = cluster, load
        self.faults, self.isolations, self.notes = [], [], {}

    def now(self):
        return self.load.now()

    def hold(self, seconds):
        """The clients go on for so long."""
        time.sleep(seconds)

    def isolated(self, nodes, since):
        """These nodes were cut off from a majority since then, and clients could reach them."""
        self.isolations.append(([node.number for node in nodes], since, self.now()))

    def took_effect(self, did, what):
        """A fault that did nothing must not look like one that was survived."""
        if not did:
            self.faults.append(Fault("script", f"{what} had no effect"))

    def deposed(self, node, away=()):
        """The others must have given the partitions of a leader that is away to somebody else."""
        other = self.cluster.others(node, *away)[0]
        view = self.cluster.view(other) or {"partitions": []}
        led = [p["partition"] for p in view["partitions"] if p["leader"] == node.number]
        if led or not view["partitions"]:
            self.faults.append(Fault("L4", f"node {node.number} is away, and by node {other.number} leads {led} "
                                           f"of {len(view['partitions'])} partitions"))

    def caught_up(self, node, seconds=60):
        """Waits until a node that was away has applied what the others had when this began."""
        until = time.monotonic() + seconds
        goals = {}
        for other in self.cluster.others(node):
            for partition in (self.cluster.view(other) or {"partitions": []})["partitions"]:
                number = partition["partition"]
                goals[number] = max(goals.get(number, 0), partition["last_index"])
        while time.monotonic() < until:
            view = self.cluster.view(node)
            if view and all(p["leader"] and p["applied_index"] >= goals.get(p["partition"], 0)
                            for p in view["partitions"]):
                return
            time.sleep(0.1)
        self.faults.append(Fault("recovery", f"node {node.number} has not caught up within {seconds} s"))

    def ends_with(self, node, code):
        if code != 0:
            self.faults.append(Fault("process", f"node {node.number} ended with {code} after SIGTERM"))

    def evens_out(self, seconds=EVEN_SECONDS_MAX):
        """Waits until leaders and replicas are spread evenly over the nodes that are there."""
        began, numbers = self.now(), [node.number for node in self.cluster.nodes]
        while True:
            views = {node.number: self.cluster.view(node) for node in self.cluster.nodes}
            faults = list(judge_shape(views, numbers))
            if not faults or self.now() - began > seconds:
                break
            time.sleep(0.1)
        self.faults += faults
        self.notes.setdefault("even_after_s", []).append(round(self.now() - began, 2))
        leads = ", ".join(f"{count} on {number}" for number, count in self.cluster.leads().items())
        self.notes.setdefault("leads", []).append(leads)

    def grows(self, through):
        """A node comes, asked in through that one, and clients use it once it serves; it."""
        node = self.cluster.add()
        self.cluster.join(node, through)
        self.load.urls = self.cluster.urls()
        return node

    def shrinks(self, node, through):
        """A node goes, asked out through that one. Clients use it until it is stopped: drained, it must not
        answer what is no longer so."""
        self.cluster.drain(node, through)
        self.hold(DRAINED_SECONDS)
        self.ends_with(node, node.stop())
        self.load.urls = self.cluster.urls()

    def storage_fails(self, node, mode):
        """Its storage fails; it must end as the README says, and serve again once it is mended."""
        node.disk_fault(mode)
        began = self.now()
        code = node.ends_within(STORAGE_FAILED_SECONDS_MAX)
        self.notes["ended_s"] = round(self.now() - began, 2)
        self.took_effect(f"iofault: {mode}" in node.log.read_text(errors="replace"), f"{mode} on node {node.number}")
        if code != STORAGE_FAILED:
            self.faults.append(Fault("storage", f"node {node.number} with {mode} ended with {code} in place of "
                                                f"{STORAGE_FAILED} within {STORAGE_FAILED_SECONDS_MAX} s"))
        self.hold(DEAD_SECONDS)
        node.kill()
        node.disk_fault("none")
        self.notes["ready_again_s"] = round(node.start(), 2)


def killed_for_a_while(run, node):
    node.kill()
    run.hold(DEAD_SECONDS)
    run.notes["ready_again_s"] = round(node.start(), 2)


@case(KILL_GAP_SECONDS_MAX)
def kill_leader(run):
    """SIGKILL of the node that leads most partitions; it comes back."""
    killed_for_a_while(run, run.cluster.leader())


@case(KILL_GAP_SECONDS_MAX)
def kill_follower(run):
    """SIGKILL of the node that leads fewest partitions; it comes back."""
    killed_for_a_while(run, run.cluster.follower())


@case(KILL_GAP_SECONDS_MAX)
def lost_disks(run):
    """The leader's disk is lost, then that of node 1, which founded the cluster: each comes back on an empty one."""
    for node in (run.cluster.leader(), run.cluster.nodes[0]):
        node.lose_disk()
        run.hold(DEAD_SECONDS)
        run.notes.setdefault("ready_again_s", []).append(round(node.start(), 2))
        run.caught_up(node)
        run.evens_out()


@case(None)
def kill_all(run):
    """SIGKILL of every node at once: all that was acknowledged is on their disks."""
    for node in run.cluster.nodes:
        node.process.kill()
    for node in run.cluster.nodes:
        node.kill()
    for node in run.cluster.nodes:
        node.spawn()
    for node in run.cluster.nodes:
        node.wait_ready()


@case(None, nodes=1)
def kill_alone(run):
    """SIGKILL of a node that has no others."""
    node = run.cluster.nodes[0]
    node.kill()
    run.notes["ready_again_s"] = round(node.start(), 2)


@case(PAUSE_GAP_SECONDS_MAX)
def pause_leader(run):
    """SIGSTOP of the leader for 15 s: when it wakes it must not act, or answer, on its old term."""
    node = run.cluster.leader()
    node.pause()
    run.hold(PAUSE_SECONDS)
    run.took_effect(not node.is_ready(), f"pausing node {node.number}")
    run.deposed(node)
    node.resume()


@case(CUT_GAP_SECONDS_MAX)
def link_cut(run):
    """The leader's network is down for 10 s, for clients too."""
    node = run.cluster.leader()
    run.cluster.cut(node)
    run.hold(CUT_SECONDS)
    run.took_effect(not node.is_ready(), f"cutting off node {node.number}")
    run.deposed(node)
    run.cluster.heal()


@case(CUT_GAP_SECONDS_MAX)
def one_way_drop(run):
    """What the leader sends to the others is lost for 10 s; then what it hears from them."""
    for sends in (True, False):
        node = run.cluster.leader()
        since = run.now()
        for other in run.cluster.others(node):
            run.cluster.drop(*((node, other) if sends else (other, node)))
        run.hold(CUT_SECONDS)
        run.deposed(node)
        run.isolated([node], since)
        run.cluster.heal()
        run.hold(BETWEEN_SECONDS)
        run.caught_up(node)


@case(CUT_GAP_SECONDS_MAX)
def split_1_2(run):
    """The leader is alone for 10 s; clients reach both sides."""
    minority = [run.cluster.leader()]
    since = run.now()
    run.cluster.split(minority, run.cluster.others(*minority))
    run.hold(CUT_SECONDS)
    run.deposed(minority[0], away=minority)
    run.isolated(minority, since)
    run.cluster.heal()


@case(CUT_GAP_SECONDS_MAX, nodes=5)
def split_2_3(run):
    """The leader and another of five are apart from the other three for 10 s."""
    leader = run.cluster.leader()
    minority = [leader, run.cluster.others(leader)[0]]
    since = run.now()
    run.cluster.split(minority, run.cluster.others(*minority))
    run.hold(CUT_SECONDS)
    run.deposed(minority[0], away=minority)
    run.isolated(minority, since)
    run.cluster.heal()


@case(CUT_GAP_SECONDS_MAX, slower=(90, 0.1))
def loss_20(run):
    """Every host loses a fifth of the packets that it sends, for 10 s."""
    run.cluster.loss(20)
    run.hold(CUT_SECONDS)
    run.cluster.heal()


@case(CUT_GAP_SECONDS_MAX, slower=(50, 0.05))
def delay_25ms(run):
    """Every packet takes 25 ms, for 10 s: a round trip between nodes 50 ms."""
    run.cluster.delay(25)
    run.hold(CUT_SECONDS)
    run.cluster.heal()


@case(CUT_GAP_SECONDS_MAX, prepare=lambda node: node.with_clock())
def clock_jump(run):
    """The leader's wall clock jumps an hour ahead, then an hour back, then is right again."""
    node = run.cluster.leader()
    for seconds in (CLOCK_JUMP_SECONDS, -CLOCK_JUMP_SECONDS, 0):
        node.set_clock(seconds)
        run.hold(CUT_SECONDS / 3)


@case(CUT_GAP_SECONDS_MAX, prepare=lambda node: node.with_clock())
def clock_wrong_start(run):
    """The leader is killed and comes back an hour ahead; then again, an hour behind; then right."""
    node = run.cluster.leader()
    for seconds in (CLOCK_JUMP_SECONDS, -CLOCK_JUMP_SECONDS, 0):
        node.kill()
        node.set_clock(seconds)
        node.start()
        run.caught_up(node)
        run.hold(CUT_SECONDS / 3)


@case(CUT_GAP_SECONDS_MAX, prepare=lambda node: node.with_disk_faults())
def full_disk(run):
    """There is no room for the leader's journal."""
    run.storage_fails(run.cluster.leader(), "enospc")


@case(CUT_GAP_SECONDS_MAX, prepare=lambda node: node.with_disk_faults())
def sync_error(run):
    """A sync of the leader's journal fails: what it held is not known, and must not be trusted."""
    run.storage_fails(run.cluster.leader(), "sync-eio")


@case(CUT_GAP_SECONDS_MAX, prepare=lambda node: node.with_disk_faults())
def slow_sync(run):
    """Each sync of the leader's journal takes 200 ms, for 10 s."""
    node = run.cluster.leader()
    node.disk_fault(f"slow {SLOW_SYNC_MS}")
    run.hold(CUT_SECONDS)
    node.disk_fault("none")


@case(CUT_GAP_SECONDS_MAX, prepare=lambda node: node.with_lazy_disk())
def power_loss(run):
    """The leader loses its power, and with it all that was not synced."""
    node = run.cluster.leader()
    node.lose_power()
    run.hold(DEAD_SECONDS)
    run.notes["ready_again_s"] = round(node.start(), 2)


@case(None, prepare=lambda node: node.with_lazy_disk())
def power_loss_all(run):
    """All nodes lose their power at once; of what was not synced half is kept, in no order, torn."""
    for seed, node in enumerate(run.cluster.nodes, 1):
        node.disk.cut(kept_percent=50, seed=seed)
    for node in run.cluster.nodes:
        node.kill()
        node.disk.replace()
    for node in run.cluster.nodes:
        node.spawn()
    for node in run.cluster.nodes:
        node.wait_ready()


@case(KILL_GAP_SECONDS_MAX, every_order=True, p99_max=PLANNED_P99_SECONDS_MAX)
def rolling_restart(run):
    """SIGTERM of each node in turn, while orders go on: no client may notice more than a retry."""
    for node in run.cluster.nodes:
        run.ends_with(node, node.stop())
        node.start()
        run.caught_up(node)


@case(KILL_GAP_SECONDS_MAX, joining=2, every_order=True)
def grow_and_shrink(run):
    """Nodes 4 and 5 come, then 1 and 2, which founded the cluster, go: the newcomers carry it on."""
    first, second, _ = run.cluster.nodes
    run.evens_out()
    fourth = run.grows(through=first)
    # Any node may be asked: one that has just come, and one that is to go itself.
    fifth = run.grows(through=fourth)
    run.evens_out()
    run.hold(BETWEEN_SECONDS)
    run.shrinks(first, through=first)
    run.shrinks(second, through=fifth)
    run.evens_out()
