# Part of Consign, Apache-2.0 (see LICENSE).
"""Recounts from outside what a cluster did with the orders that clients sent while it was broken.

In: the clients' `Records`, the shop, the nodes' URLs by number. Out: `Fault`s, each with the law it breaks.
`gather` asks every node, `judge` takes what they said and asks nobody. What must hold: nothing here
uses the product's own recount; `consign verify` is one more witness beside this one.
"""

import concurrent.futures
import dataclasses
import json
import time

from fault_client import REFUSED
from fault_cluster import ask

# Orders and locations confirm one another by message: sums are counted again for so long.
SETTLE_SECONDS_MAX = 20
# A healed cluster answers each question within this, busy as it may be.
ANSWER_SECONDS_MAX = 30
ASKERS = 4
# So many of the last acknowledged keys are sent once more, for their first answer.
REPLAYS_MAX = 200
PAGE = 500
# L7: an order never goes to an earlier one of these.
STATUS_RANK = {"placed": 0, "sourcing": 1, "backordered": 2, "allocated": 3, "in_fulfillment": 4, "completed": 5,
               "cancelled": 6}
FAULTS_SHOWN_MAX = 20


@dataclasses.dataclass(frozen=True)
class Fault:
    """What is wrong. One that `settles` may only be a message under way; the others are final."""

    law: str
    text: str
    settles: bool = False

    def __str__(self):
        return f"{self.law}: {self.text}"


@dataclasses.dataclass
class Seen:
    """What one node shows: its list of orders, each acknowledged order by id, each SKU's inventory."""

    node: int
    listed: dict
    by_id: dict
    inventory: dict


class NoAnswer(Exception):
    """A healed cluster does not answer."""


def answer_of(url, path, method="GET", body=None, headers=None):
    """Status and JSON; asks again while the node is busy or not reached."""
    until, said = time.monotonic() + ANSWER_SECONDS_MAX, None
    while time.monotonic() < until:
        try:
            status, answer = ask(url, path, method, body, headers, seconds=10)
            if status not in (408, 429, 503):
                return status, answer
            said = f"{status} {answer}"
        except OSError as error:
            said = error
        time.sleep(0.1)
    raise NoAnswer(f"{method} {url}{path}: {said}")


def all_orders(url):
    """Every order that the node lists, by id."""
    listed, cursor = {}, ""
    while True:
        status, page = answer_of(url, f"/v1/orders?limit={PAGE}{cursor}")
        if status != 200:
            raise NoAnswer(f"{url}/v1/orders: {status} {page}")
        for order in page["orders"]:
            listed[order["id"]] = order
        if not page.get("next_cursor"):
            return listed
        cursor = f"&cursor={page['next_cursor']}"


def look_at(number, url, records, shop):
    """All that one node shows."""
    ids = sorted({order.id for order in records.acknowledged() if order.id})
    skus = sorted({sku for _, sku in shop.received})
    with concurrent.futures.ThreadPoolExecutor(ASKERS) as pool:
        by_id = dict(zip(ids, pool.map(lambda i: answer_of(url, f"/v1/orders/{i}"), ids)))
        inventory = dict(zip(skus, pool.map(lambda s: answer_of(url, f"/v1/inventory/{s}"), skus)))
    return Seen(number, all_orders(url), by_id, inventory)


def gather(urls, records, shop):
    return [look_at(number, url, records, shop) for number, url in urls.items()]


def lines_of(order):
    return [(line["sku"], line["quantity"], line["unit_price"]) for line in order.get("lines", [])]


def allocated(order):
    """Units that the order says are allocated, by (location, SKU)."""
    units = {}
    for line in order.get("lines", []):
        for part in line.get("allocations", []):
            place = (part["location"], line["sku"])
            units[place] = units.get(place, 0) + part["quantity"]
    return units


def sums(orders):
    total = {}
    for order in orders:
        for place, units in allocated(order).items():
            total[place] = total.get(place, 0) + units
    return total


def judge_answers(records, shop):
    """What is wrong with the answers alone, whatever the nodes show now."""
    for order in records.orders:
        if order.outcome == REFUSED:
            yield Fault("refused", f"{order.key} got {order.answer}; every order of these clients is in order")
    told = {}
    for attempt in records.attempts:
        if attempt.succeeded():
            told.setdefault(attempt.key, set()).add(attempt.order)
    for key, ids in told.items():
        if len(ids) > 1 or None in ids:
            yield Fault("L3", f"key {key} was answered with the orders {sorted(map(str, ids))}")
    answers = {order.id: order.answer for order in records.acknowledged() if order.id}
    for order in records.acknowledged():
        if lines_of(order.answer) != lines_of(order.body):
            yield Fault("L2", f"{order.key} asked for {lines_of(order.body)}, was answered {lines_of(order.answer)}")
    for place, units in sums(answers.values()).items():
        if units > shop.received.get(place, 0):
            yield Fault("L1", f"acknowledged answers allocate {units} units of {place}, {shop.received.get(place, 0)} "
                              "were received")
    for text in records.strange:
        yield Fault("client", text)


def judge_order(seen, order):
    """One acknowledged order, as one node shows it."""
    status, found = seen.by_id[order.id]
    where = f"order {order.id} ({order.key}) on node {seen.node}"
    if status != 200 or not isinstance(found, dict):
        yield Fault("L2", f"{where} was acknowledged and is gone: {status}")
        return
    if lines_of(found) != lines_of(order.body):
        yield Fault("L2", f"{where} has the lines {lines_of(found)} in place of {lines_of(order.body)}")
    if found.get("customer", {}).get("id") != order.key:
        yield Fault("L3", f"{where} belongs to {found.get('customer')}")
    was, now = order.answer.get("status"), found.get("status")
    if STATUS_RANK.get(now, -1) < STATUS_RANK.get(was, 0):
        yield Fault("L7", f"{where} was acknowledged as {was} and is now {now}")
    lost = {place: units for place, units in allocated(order.answer).items()
            if allocated(found).get(place, 0) < units}
    if lost:
        yield Fault("L2", f"{where} was acknowledged with {lost}, and now has {allocated(found)}")
    if order.id not in seen.listed:
        yield Fault("L2", f"{where} is not in the list of orders")


def judge_list(seen, sent):
    """Every order that a node lists was sent, as it is, and once for its key."""
    of_key = {}
    for order in seen.listed.values():
        of_key.setdefault(order.get("customer", {}).get("id"), []).append(order)
    for key, orders in of_key.items():
        if key not in sent:
            yield Fault("L3", f"node {seen.node} has orders that nobody sent: {[o['id'] for o in orders]} of {key}")
            continue
        if len(orders) > 1:
            yield Fault("L3", f"node {seen.node} has {len(orders)} orders of key {key}: {[o['id'] for o in orders]}")
        # Those of unknown outcome too: there once, whole, or not at all.
        for order in orders:
            if lines_of(order) != lines_of(sent[key].body):
                yield Fault("L2", f"order {order['id']} of {key} has the lines {lines_of(order)} on node {seen.node}")


def judge_inventory(seen, shop):
    """Units received are available, reserved for an order that is listed, or set aside (L1, L5)."""
    owed = sums(seen.listed.values())
    for sku, (status, shown) in seen.inventory.items():
        if status != 200:
            yield Fault("L2", f"node {seen.node} gives {status} for the inventory of {sku}")
            continue
        there = {at["location"]: at for at in shown["locations"]}
        for (location, of), received in shop.received.items():
            if of != sku:
                continue
            at = there.pop(location, None)
            where = f"{sku} at {location} on node {seen.node}"
            if at is None:
                yield Fault("L2", f"{where} is gone, {received} were received")
                continue
            if at["on_hand"] != received:
                yield Fault("L2", f"{where}: {at['on_hand']} on hand, {received} were received and none has left")
            aside = at["reserved"] + at["damaged"] + at["safety_stock"]
            if at["available"] + aside != at["on_hand"]:
                yield Fault("L5", f"{where}: {at} does not add up")
            if at["available"] < 0:
                yield Fault("L1", f"{where}: {at['available']} available")
            if at["reserved"] != owed.get((location, sku), 0):
                owing = owed.get((location, sku), 0)
                yield Fault("L5", f"{where}: {at['reserved']} reserved, orders have {owing}", True)
        if there:
            yield Fault("L2", f"node {seen.node} has {sku} at {sorted(there)}, where none was received")
        if shown["available"] != sum(at["available"] for at in shown["locations"]):
            yield Fault("L5", f"node {seen.node}: {sku} has {shown['available']} available, its locations differ", True)


def judge_agreement(worlds):
    """A healed and quiet cluster gives the same answer at every node."""
    first = worlds[0]
    for other in worlds[1:]:
        pair = f"nodes {first.node} and {other.node}"
        for sku in first.inventory:
            if first.inventory[sku] != other.inventory[sku]:
                yield Fault("agreement", f"{pair} differ on {sku}: {json.dumps(first.inventory[sku])} and "
                                         f"{json.dumps(other.inventory[sku])}", True)
        if first.listed.keys() != other.listed.keys():
            differing = sorted(first.listed.keys() ^ other.listed.keys())
            yield Fault("agreement", f"{pair} list different orders: {differing[:10]}", True)
        for order in first.by_id:
            if first.by_id[order] != other.by_id[order]:
                yield Fault("agreement", f"{pair} show order {order} differently", True)


def judge_shape(views, numbers):
    """A cluster of these nodes at rest: each has a replica of every partition and nobody else has one, all
    name the same leaders, and no node leads two more partitions than another. `views` are /v1/cluster as
    each node gave it, None where it gave none."""
    first = None
    for number in numbers:
        view = views.get(number)
        if not view or not view["partitions"]:
            yield Fault("shape", f"node {number} shows no partitions")
            continue
        for partition in view["partitions"]:
            where = f"partition {partition['partition']}, by node {number},"
            if sorted(partition["voters"]) != sorted(numbers):
                yield Fault("shape", f"{where} has the voters {partition['voters']} in place of {sorted(numbers)}")
            if partition["learners"]:
                yield Fault("shape", f"{where} still has the learners {partition['learners']}")
        leaders = [partition["leader"] for partition in view["partitions"]]
        leads = {n: leaders.count(n) for n in numbers}
        if max(leads.values()) - min(leads.values()) > 1 or sum(leads.values()) != len(leaders):
            yield Fault("shape", f"leaders are not even by node {number}: {leads} of {len(leaders)} partitions")
        if first is not None and leaders != first:
            yield Fault("shape", f"node {number} says that {leaders} lead, another node {first}")
        first = leaders


def judge(worlds, records, shop):
    """Every fault, in the order of its weight. Takes data, asks nobody."""
    sent = {order.key: order for order in records.orders}
    faults = list(judge_answers(records, shop))
    for seen in worlds:
        for order in records.acknowledged():
            if order.id in seen.by_id:
                faults += judge_order(seen, order)
        faults += judge_list(seen, sent)
        faults += judge_inventory(seen, shop)
    return faults + list(judge_agreement(worlds))


def replay(urls, records):
    """Sends the last acknowledged keys once more, each at another node: the first answer comes (L3)."""
    faults, urls = [], list(urls.values())
    last = sorted(records.acknowledged(), key=lambda order: order.end)[-REPLAYS_MAX:]
    for nth, order in enumerate(last):
        status, answer = answer_of(urls[nth % len(urls)], "/v1/orders", "POST", order.body,
                                   {"idempotency-key": order.key})
        found = answer.get("id") if isinstance(answer, dict) else None
        if found != order.id:
            faults.append(Fault("L3", f"the retry of {order.key} got {status} {found} in place of {order.id}"))
    return faults


def check(urls, records, shop, verify):
    """All faults. `verify` runs the product's own recount and gives the laws that it finds broken."""
    if not records.acknowledged():
        return [Fault("nothing", "no order was acknowledged: nothing was tested")]
    began = time.monotonic()
    try:
        while True:
            faults = judge(gather(urls, records, shop), records, shop)
            # What cannot come right by waiting is not waited for, so that it is not hidden by it.
            final = not faults or not all(fault.settles for fault in faults)
            if final or time.monotonic() - began > SETTLE_SECONDS_MAX:
                break
            time.sleep(0.5)
        faults += replay(urls, records)
        # Once more: the retries must have changed nothing.
        if not faults:
            first = next(iter(urls))
            faults = judge(gather({first: urls[first]}, records, shop), records, shop)
    except NoAnswer as error:
        return [Fault("availability", f"a healed cluster does not answer: {error}")]
    return faults + [Fault("verify", text) for text in verify()]
