# Part of Consign, Apache-2.0 (see LICENSE).
"""Clients that place orders while a cluster is broken, and write down every answer.

In: the nodes' URLs by number, a shop. Out: `Records`: each order with its outcome, each attempt with its
start, end, node, status and order id; and the figures that follow from them. What must hold: an
order is sent again with the same key and body until it is answered or its deadline has passed, and
nothing is believed that no answer said. Judges nothing: fault_checker.py does.
"""

import dataclasses
import datetime
import http.client
import json
import random
import threading
import time
import urllib.parse

from fault_cluster import ask

THREADS = 8
ORDER_SECONDS_MAX = 10
# After so long, give or take a half, an attempt is taken for lost, and another node is asked. Half of
# the smallest bound on a gap, and spread, so that somebody asks afresh at any moment: what is
# measured is when the cluster answers again, not when clients give up.
ATTEMPT_SECONDS_MEAN = 1
# Mean pause of a client between two orders: enough orders to see a gap, few enough to recount.
THINK_SECONDS = 0.06
# After a refusal or a broken connection, before the next node is asked.
BACKOFF_SECONDS = 0.02
# One acknowledged order in so many is read back, from another node.
READ_EVERY = 4
ACKNOWLEDGED, REFUSED, UNKNOWN = "acknowledged", "refused", "unknown"


@dataclasses.dataclass
class Shop:
    """What is sold, and what was received of it: units by (location, SKU)."""

    name: str
    locations: list
    skus: list
    hot: str
    received: dict

    @staticmethod
    def make(name, locations=3, skus=16, stock=100_000, hot_stock=150):
        places = [f"{name}-L{nth}" for nth in range(locations)]
        plenty = [f"{name}-S{nth}" for nth in range(skus)]
        hot = f"{name}-HOT"
        received = {(place, sku): stock for place in places for sku in plenty}
        # Of the hot one there are few units, at two locations: who oversells does it here.
        received |= {(place, hot): hot_stock for place in places[:2]}
        return Shop(name, places, plenty, hot, received)

    def seed(self, urls):
        """Defines and stocks it, with keys, so that a retry receives nothing twice."""
        urls = list(urls.values())

        def must(path, method, body, key):
            for attempt in range(60):
                try:
                    status, answer = ask(urls[attempt % len(urls)], path, method, body, {"idempotency-key": key})
                except OSError as error:
                    status, answer = None, error
                if status in (200, 201):
                    return
                time.sleep(0.25)
            raise RuntimeError(f"cannot seed the shop: {method} {path} gives {status} {answer}")

        for nth, place in enumerate(self.locations):
            body = {"id": place, "name": place, "kind": "warehouse", "country": "GB", "latitude": 50.0 + nth,
                    "longitude": -1.0, "time_zone": "Europe/London"}
            must(f"/v1/locations/{place}", "PUT", body, f"{place}-put")
        for sku in [*self.skus, self.hot]:
            must(f"/v1/products/{sku}", "PUT", {"sku": sku, "name": sku}, f"{sku}-put")
        for (place, sku), units in self.received.items():
            body = {"location": place, "sku": sku, "quantity": units, "reference": "seed"}
            must("/v1/inventory/receipts", "POST", body, f"{place}-{sku}-receipt")

    def order(self, key, chance):
        """One order of 1 to 3 lines, by Zipf; the key is the customer, so that lists show it."""
        weights = [1 / (rank + 1) for rank in range(len(self.skus))]
        skus = set(chance.choices(self.skus, weights, k=chance.randint(1, 3)))
        if chance.random() < 0.3:
            skus = {self.hot, *sorted(skus)[:2]}
        lines = [{"sku": sku, "quantity": chance.randint(1, 3), "unit_price": "2.55"} for sku in sorted(skus)]
        return {"channel": "web", "currency": "GBP", "customer": {"id": key}, "service_level": "standard",
                "ship_to": {"country": "GB", "latitude": chance.uniform(50, 53), "longitude": -1.0}, "lines": lines}


@dataclasses.dataclass
class Attempt:
    """One request for an order; times in seconds since the load began, status None without an answer."""

    key: str
    node: int
    start: float
    end: float
    status: int | None
    order: str | None
    code: str | None = None

    def succeeded(self):
        return self.status in (200, 201, 202)


@dataclasses.dataclass
class Order:
    """One order as its client knows it."""

    key: str
    body: dict
    start: float
    end: float = 0.0
    outcome: str = UNKNOWN
    answer: dict | None = None

    @property
    def id(self):
        return self.answer and self.answer.get("id")


@dataclasses.dataclass
class Records:
    """All that the clients saw between `began` (0) and `ended`."""

    orders: list
    attempts: list
    # What was already wrong while it happened, e.g. a read that did not know an acknowledged order.
    strange: list
    ended: float
    # The wall clock of this machine when the load began.
    began_at: float = 0.0

    def by_outcome(self):
        counts = {ACKNOWLEDGED: 0, REFUSED: 0, UNKNOWN: 0}
        for order in self.orders:
            counts[order.outcome] += 1
        return counts

    def acknowledged(self):
        return [order for order in self.orders if order.outcome == ACKNOWLEDGED]

    def longest_gap(self, since=0.0, until=None):
        """The longest time without a successful answer to anybody, and when it began."""
        until = self.ended if until is None else until
        moments = sorted(a.end for a in self.attempts if a.succeeded() and since <= a.end <= until)
        moments = [since, *moments, until]
        return max(((b - a, a) for a, b in zip(moments, moments[1:])), default=(0.0, since))

    def latencies(self, since=0.0, until=None):
        """From first send to acknowledgement, sorted, of orders first sent in that time."""
        until = self.ended if until is None else until
        return sorted(o.end - o.start for o in self.acknowledged() if since <= o.start <= until)

    def attempts_by(self):
        """How many attempts ended in which way, by node: {"1": {"201": 5, "TimeoutError": 1}}."""
        counts = {}
        for attempt in self.attempts:
            way = f"{attempt.status or ''} {attempt.code or ''}".strip()
            of_node = counts.setdefault(str(attempt.node), {})
            of_node[way] = of_node.get(way, 0) + 1
        return counts

    def clock_off(self):
        """By how much nodes date an order otherwise than this machine's clock would, at most."""
        off = [0.0]
        for order in self.acknowledged():
            if placed := order.answer.get("placed_at"):
                at = datetime.datetime.fromisoformat(placed).timestamp() - self.began_at
                # It was placed at some time between the first send and the answer.
                off.append(max(order.start - at, at - order.end))
        return max(off)

    def successes_of(self, node, since, until):
        """Attempts at that node that began and succeeded in that time."""
        return [a for a in self.attempts if a.node == node and a.succeeded() and a.start >= since and a.end <= until]


def percentile(values, percent):
    """Of sorted values; None when there are none."""
    return values[min(len(values) - 1, len(values) * percent // 100)] if values else None


class Client(threading.Thread):
    """Places one order after another, each first at the next node."""

    def __init__(self, load, name):
        super().__init__(daemon=True)
        self.load, self.prefix = load, name
        self.chance = random.Random(name)
        self.connections = {}
        self.orders, self.attempts, self.strange = [], [], []
        self.turn = self.chance.randrange(len(load.urls))

    def run(self):
        try:
            number = 0
            while not self.load.ending.is_set():
                self.place(f"{self.prefix}-{number}")
                number += 1
                self.load.ending.wait(self.chance.uniform(0.5, 1.5) * self.load.think_seconds)
        except Exception as error:
            # A client that dies in silence would make a case pass that saw nothing.
            self.strange.append(f"client {self.prefix} died: {error!r}")
        finally:
            for connection in self.connections.values():
                connection.close()

    def send(self, node, url, method, path, body, headers, seconds):
        """Status and JSON of one request over a kept connection; (None, why) without an answer."""
        connection = self.connections.pop(node, None)
        try:
            if connection is None:
                address = urllib.parse.urlsplit(url).netloc
                connection = http.client.HTTPConnection(address, timeout=seconds)
            connection.timeout = seconds
            if connection.sock is not None:
                connection.sock.settimeout(seconds)
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read()
            self.connections[node] = connection
            return answer.status, json.loads(text)
        except (OSError, http.client.HTTPException, ValueError) as error:
            connection.close()
            return None, {"code": type(error).__name__}

    def place(self, key):
        """Sends one order until it is answered or its deadline has passed."""
        body = self.load.shop.order(key, self.chance)
        text = json.dumps(body).encode()
        headers = {"content-type": "application/json", "idempotency-key": key}
        order = Order(key, body, self.load.now())
        self.orders.append(order)
        while (left := order.start + self.load.order_seconds_max - self.load.now()) > 0:
            # Whoever is there now: nodes come and go while an order waits.
            there = list(self.load.urls.items())
            self.turn = (self.turn + 1) % len(there)
            node, url = there[self.turn]
            start = self.load.now()
            seconds = min(left, self.load.attempt_seconds_mean * self.chance.uniform(0.5, 1.5))
            status, answer = self.send(node, url, "POST", "/v1/orders", text, headers, seconds)
            answer = answer if isinstance(answer, dict) else {}
            attempt = Attempt(key, node, start, self.load.now(), status, answer.get("id"), answer.get("code"))
            self.attempts.append(attempt)
            if attempt.succeeded():
                order.outcome, order.answer, order.end = ACKNOWLEDGED, answer, attempt.end
                if self.chance.randrange(READ_EVERY) == 0:
                    self.read_back(order)
                return
            if status is not None and status not in (408, 429, 503):
                order.outcome, order.answer, order.end = REFUSED, answer, attempt.end
                return
            time.sleep(BACKOFF_SECONDS * self.chance.uniform(0.5, 1.5))
        order.end = self.load.now()

    def read_back(self, order):
        """What is acknowledged must be readable at once at any node that answers, a woken one too."""
        node, url = self.chance.choice(list(self.load.urls.items()))
        start = self.load.now()
        status, answer = self.send(node, url, "GET", f"/v1/orders/{order.id}", None, {},
                                   self.load.attempt_seconds_mean)
        if status is None or status in (408, 429, 503):
            return
        version = answer.get("version", 0) if isinstance(answer, dict) else 0
        if status != 200 or version < order.answer.get("version", 0):
            self.strange.append(
                f"L2: order {order.id} was acknowledged at {order.end:.2f} s in version {order.answer.get('version')}; "
                f"node {node}, asked at {start:.2f} s, gives {status}, version {version}")


class Load:
    """Clients at work from `start` to `stop`. Each attempt goes to one of `urls`, which are replaced as a
    whole when nodes come or go."""

    def __init__(self, urls, shop, threads=THREADS, think_seconds=THINK_SECONDS,
                 order_seconds_max=ORDER_SECONDS_MAX, attempt_seconds_mean=ATTEMPT_SECONDS_MEAN):
        self.urls, self.shop, self.think_seconds = urls, shop, think_seconds
        self.order_seconds_max, self.attempt_seconds_mean = order_seconds_max, attempt_seconds_mean
        self.ending = threading.Event()
        self.clients = [Client(self, f"{shop.name}-c{nth}") for nth in range(threads)]
        self.began = self.began_at = None

    def now(self):
        return time.monotonic() - self.began

    def start(self):
        self.began, self.began_at = time.monotonic(), time.time()
        for client in self.clients:
            client.start()
        return self

    def stop(self):
        """No new orders; those under way are followed to their end. Answers the `Records`."""
        ended = self.now()
        self.ending.set()
        strange = []
        for client in self.clients:
            client.join(self.order_seconds_max + 4 * self.attempt_seconds_mean)
            if client.is_alive():
                strange.append(f"client {client.prefix} does not end")

        def gathered(name):
            return [item for client in self.clients for item in getattr(client, name)]

        return Records(gathered("orders"), gathered("attempts"), gathered("strange") + strange, ended,
                       self.began_at)
