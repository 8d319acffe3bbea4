# Part of Consign, Apache-2.0 (see LICENSE).
"""Shows that the checker of the fault tests can fail: a made-up cluster breaks each law in turn.

In: nothing. Out: what was found of each sabotage. The fake is one store behind three HTTP servers
on loopback that answer as nodes do; it is as flaky as a broken cluster (refusals, connections that
end after the work was done), and does one thing wrong at a time. What must hold: the honest fake
has no fault, and every dishonest one has a fault of the law it breaks.
"""

import dataclasses
import http.server
import json
import random
import re
import threading
import time

import fault_checker
from fault_client import Attempt, Load, Order, Records, Shop, ACKNOWLEDGED, UNKNOWN, percentile

NODES = 3
LOAD_SECONDS = 0.7
# What the fake does wrong, and the law and words of a fault that must then be found. Some break
# several; the words say which check is meant, so that none can go missing behind another.
SABOTAGES = {
    "honest": None,
    "loses an acknowledged order": ("L2", "was acknowledged and is gone: 404"),
    "loses an acknowledged order on one node": ("L2", "on node 2 was acknowledged and is gone"),
    "leaves an order out of a list": ("L2", "is not in the list of orders"),
    "oversells the hot SKU": ("L1", "acknowledged answers allocate"),
    "oversells in what it shows": ("L1", "available"),
    "gives two orders to one key": ("L3", "orders of key"),
    "keeps a second order in silence": ("L3", "2 orders of key"),
    "answers a retry after the load with another order": ("L3", "the retry of"),
    "changes the quantity of a line": ("L2", "in place of [("),
    "takes an allocation back": ("L2", "and now has {}"),
    "puts an order back to placed": ("L7", "is now placed"),
    "leaks reserved units": ("L5", "reserved, orders have"),
    "miscounts what is available": ("L5", "does not add up"),
    "forgets a receipt": ("L2", "were received and none has left"),
    "shows another inventory on one node": ("agreement", "differ on"),
    "does not know an order that was acknowledged just now": ("client", "gives 404"),
    "refuses a valid order": ("refused", "no_reason"),
    "invents an order": ("L3", "that nobody sent"),
    "lets verify find a broken law": ("verify", "made up"),
    "acknowledges nothing": ("nothing", "no order was acknowledged"),
    "stops answering once it is healed": ("availability", "does not answer"),
}


class Store:
    """What all nodes of the fake know."""

    def __init__(self, sabotage):
        self.sabotage = sabotage
        self.lock = threading.RLock()
        self.chance = random.Random(1)
        self.stock, self.reserved = {}, {}
        self.orders, self.by_key, self.answers = {}, {}, {}
        self.made = self.placed = 0
        self.over = False

    def does(self, sabotage, one_in=1):
        return self.sabotage == sabotage and self.chance.randrange(one_in) == 0

    def receive(self, body, key):
        if key not in self.by_key:
            self.by_key[key] = None
            place = (body["location"], body["sku"])
            self.stock[place] = self.stock.get(place, 0) + body["quantity"]
        return 200, {}

    def allocate(self, line):
        left, parts = line["quantity"], []
        for (location, sku), units in self.stock.items():
            if sku != line["sku"]:
                continue
            free = units - self.reserved.get((location, sku), 0)
            if self.sabotage in ("oversells the hot SKU", "oversells in what it shows"):
                free = left
            if (take := min(left, free)) > 0:
                parts.append({"location": location, "quantity": take})
                self.reserved[location, sku] = self.reserved.get((location, sku), 0) + take
                left -= take
        return {**line, "allocations": parts, "backordered": left}

    def make(self, body):
        self.made += 1
        lines = [self.allocate(line) for line in body["lines"]]
        short = any(line["backordered"] for line in lines)
        order = {"id": f"o{self.made}", "customer": body["customer"], "lines": lines, "version": 3,
                 "status": "backordered" if short else "allocated"}
        self.orders[order["id"]] = order
        return order

    def place(self, body, key):
        """As the product does it, but for the sabotage; the first answer is kept for retries."""
        if self.does("acknowledges nothing"):
            return 503, {"code": "not_serving"}
        if self.does("refuses a valid order", 20):
            return 409, {"code": "no_reason"}
        if key in self.answers:
            if self.does("gives two orders to one key") or \
                    self.over and self.does("answers a retry after the load with another order", 10):
                return 201, self.make(body)
            return 201, self.answers[key]
        order = self.make(body)
        answer = json.loads(json.dumps(order))
        self.answers[key] = answer
        self.placed += 1
        # Each of these happens after the answer is made up: the client cannot know.
        if self.does("loses an acknowledged order", 20):
            self.drop(order)
        if self.does("keeps a second order in silence", 20):
            self.make(body)
        if self.does("changes the quantity of a line", 20):
            order["lines"][0]["quantity"] += 1
        if self.does("takes an allocation back", 20):
            for part in order["lines"][0]["allocations"]:
                self.reserved[part["location"], order["lines"][0]["sku"]] -= part["quantity"]
            order["lines"][0]["allocations"] = []
        if self.does("puts an order back to placed", 20):
            order["status"] = "placed"
        if self.does("leaks reserved units", 20):
            place = next(iter(self.stock))
            self.reserved[place] = self.reserved.get(place, 0) + 1
        if self.does("invents an order", 20):
            self.make({**body, "customer": {"id": "nobody"}})
        if self.sabotage == "oversells in what it shows":
            # Nobody is told; only the inventory says so.
            for line in answer["lines"]:
                line["allocations"] = []
        if self.does("gives two orders to one key", 3):
            raise ConnectionAbortedError
        return 201, answer

    def drop(self, order):
        del self.orders[order["id"]]
        for line in order["lines"]:
            for part in line["allocations"]:
                self.reserved[part["location"], line["sku"]] -= part["quantity"]

    def inventory(self, sku, node):
        places, off = [], self.over and node == 3 and self.does("shows another inventory on one node")
        for (location, of), units in self.stock.items():
            if of == sku:
                units -= self.sabotage == "forgets a receipt"
                reserved = self.reserved.get((location, sku), 0) + off
                available = units - reserved - (self.sabotage == "miscounts what is available")
                places.append({"location": location, "on_hand": units, "reserved": reserved, "picked": 0,
                               "safety_stock": 0, "damaged": 0, "available": available})
        return 200, {"sku": sku, "available": sum(at["available"] for at in places), "locations": places}

    def listed(self, query):
        orders = list(self.orders.values())[self.sabotage == "leaves an order out of a list":]
        start = int(found[1]) if (found := re.search(r"cursor=(\d+)", query)) else 0
        # Small pages, so that the client must turn them.
        end = start + 50
        return 200, {"orders": orders[start:end], "next_cursor": str(end) if end < len(orders) else None}

    def order(self, name, node):
        lost = node == 2 and name == "o3" and self.sabotage == "loses an acknowledged order on one node"
        late = not self.over and self.does("does not know an order that was acknowledged just now", 5)
        if name not in self.orders or lost or late:
            return 404, {"code": "not_found"}
        return 200, self.orders[name]

    def respond(self, node, method, path, body, key):
        path, _, query = path.partition("?")
        if self.over and self.sabotage == "stops answering once it is healed":
            return 503, {"code": "not_serving"}
        if method == "PUT":
            return 201, {}
        if path == "/v1/inventory/receipts":
            return self.receive(body, key)
        if path == "/v1/orders":
            return self.place(body, key) if method == "POST" else self.listed(query)
        if path.startswith("/v1/inventory/"):
            return self.inventory(path.rsplit("/", 1)[1], node)
        return self.order(path.rsplit("/", 1)[1], node)


class Handler(http.server.BaseHTTPRequestHandler):
    """One node of the fake."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def serve(self):
        store = self.server.store
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        with store.lock:
            chance = 1.0 if store.over else store.chance.random()
            if chance < 0.05:
                status, answer = 503, {"code": "cluster_unreachable"}
            else:
                try:
                    status, answer = store.respond(self.server.node, self.command, self.path,
                                                   json.loads(body) if body else None,
                                                   self.headers.get("idempotency-key"))
                except ConnectionAbortedError:
                    chance = 0.0
            # Done, and not answered: the client must find out with its key.
            if chance < 0.1 and chance >= 0.05 or chance == 0.0:
                self.close_connection = True
                return
            text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PUT = serve

    def log_message(self, *_):
        pass


class FakeCluster:
    """Three servers over one store; `with` ends them."""

    def __init__(self, sabotage):
        self.store, self.servers = Store(sabotage), []
        for node in range(1, NODES + 1):
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            server.daemon_threads = True
            server.store, server.node = self.store, node
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
            self.servers.append(server)
        self.urls = {server.node: f"http://127.0.0.1:{server.server_port}" for server in self.servers}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for server in self.servers:
            server.shutdown()
            server.server_close()


def find(sabotage):
    """The records of a load on a fake that does this wrong, and the faults that were found."""
    with FakeCluster(sabotage) as fake:
        shop = Shop.make("T", locations=2, skus=4, stock=10_000, hot_stock=20)
        shop.seed(fake.urls)
        load = Load(fake.urls, shop, think_seconds=0.005, order_seconds_max=1, attempt_seconds_mean=0.5).start()
        time.sleep(LOAD_SECONDS)
        records = load.stop()
        fake.store.over = True
        verify = ["L1: made up"] if sabotage == "lets verify find a broken law" else []
        return records, fault_checker.check(fake.urls, records, shop, lambda: verify)


def figures():
    """The figures of made-up records; answers what is wrong with them."""
    def attempt(end, status=201):
        return Attempt("k", 1, end - 0.1, end, status, "o", None)

    body = {"lines": []}
    orders = [Order("a", body, 0.0, 0.5, ACKNOWLEDGED, {"id": "1"}),
              Order("b", body, 1.0, 1.1, ACKNOWLEDGED, {"id": "2"}), Order("c", body, 2.0, 12.0, UNKNOWN)]
    records = Records(orders, [attempt(0.5), attempt(1.0), attempt(2.0, 503), attempt(3.0, None), attempt(4.5),
                               attempt(6.0)], [], 10.0)
    wanted = [
        ("the longest gap ends with the load", records.longest_gap(), (4.0, 6.0)),
        ("refusals do not end a gap", records.longest_gap(until=6.0), (3.5, 1.0)),
        ("a gap begins with the fault", records.longest_gap(since=2.0, until=6.0), (2.5, 2.0)),
        ("without any answer all is gap", Records([], [], [], 7.0).longest_gap(), (7.0, 0.0)),
        ("outcomes", records.by_outcome(), {"acknowledged": 2, "refused": 0, "unknown": 1}),
        ("latencies", [round(seconds, 3) for seconds in records.latencies()], [0.1, 0.5]),
        ("latencies of a time", [round(seconds, 3) for seconds in records.latencies(0.9, 2.0)], [0.1]),
        ("percentile", [percentile([1, 2, 3, 4], 50), percentile([1, 2], 99), percentile([], 50)], [3, 2, None]),
        ("answers of a cut node", len(records.successes_of(1, 0.8, 5.0)), 2),
    ]
    twice = Records([], [attempt(1.0), dataclasses.replace(attempt(2.0), order="other")], [], 3.0)
    told = [fault.law for fault in fault_checker.judge_answers(twice, Shop.make("T"))]
    wanted.append(("two answers to one key", told, ["L3"]))
    return [f"{what}: {found} in place of {right}" for what, found, right in wanted if found != right]


def shape_of(leaders, voters=(3, 4, 5), learners=()):
    """/v1/cluster of a made-up node that names these leaders."""
    return {"partitions": [{"partition": nth, "leader": leader, "voters": list(voters), "learners": list(learners)}
                           for nth, leader in enumerate(leaders)]}


def shapes():
    """Made-up shapes of a cluster of the nodes 3, 4 and 5; answers which were judged wrongly."""
    even = shape_of([3, 4, 5, 3, 4, 5, 3, 4])
    cases = [
        ("an even cluster", [even, even, even], None),
        ("a node that leads nothing", [shape_of([3, 4, 3, 4, 3, 4, 3, 4])] * 3, "leaders are not even"),
        ("a node that leads two more", [shape_of([3, 3, 3, 4, 5, 3, 4, 5])] * 3, "leaders are not even"),
        ("a leader that was taken out", [shape_of([3, 4, 5, 3, 4, 5, 1, 3])] * 3, "leaders are not even"),
        ("a partition without a leader", [shape_of([3, 4, 5, None])] * 3, "leaders are not even"),
        ("a node without a replica", [shape_of([3, 4, 3], (3, 4))] * 3, "has the voters [3, 4]"),
        ("a node that was not taken out", [shape_of([3, 4, 5], (1, 3, 4, 5))] * 3, "has the voters [1, 3, 4, 5]"),
        ("a node that only listens", [shape_of([3, 4, 5], learners=(2,))] * 3, "still has the learners [2]"),
        ("nodes that name different leaders", [even, even, shape_of([3, 4, 5, 3, 4, 5, 4, 3])], "another node"),
        ("a node that says nothing", [even, None, even], "node 4 shows no partitions"),
    ]
    for name, views, wanted in cases:
        found = [str(fault) for fault in fault_checker.judge_shape(dict(zip((3, 4, 5), views)), [3, 4, 5])]
        if not any(wanted in text for text in found) if wanted else found:
            yield f"{name}: found {found} in place of {wanted or 'nothing'}"


def self_test(say):
    """Runs everything; answers how many parts failed."""
    # Nothing here takes long, and two of the sabotages never come right.
    fault_checker.ANSWER_SECONDS_MAX = fault_checker.SETTLE_SECONDS_MAX = 2
    failed = []
    for part, wrong in (("figures of made-up records", figures()), ("shapes of made-up clusters", list(shapes()))):
        failed += wrong
        for text in wrong or [None]:
            say(f"FAILED {part}: {text}" if wrong else f"ok {part}")
    for sabotage, wanted in SABOTAGES.items():
        records, faults = find(sabotage)
        found = [str(fault) for fault in faults if wanted and (fault.law == wanted[0] and wanted[1] in fault.text)]
        # The fake is flaky, so the clients must have retried; else they were not tried out.
        retried = len(records.attempts) - len(records.orders)
        good = retried > 0 and (bool(found) if wanted else not faults)
        shown = (found or [str(fault) for fault in faults] or ["nothing"])[0]
        say(f"{'ok' if good else 'FAILED'} {sabotage}: {len(records.acknowledged())} acknowledged, {retried} retries, "
            f"found {shown[:160]}")
        if not good:
            failed.append(sabotage)
    return len(failed)
