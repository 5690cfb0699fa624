"""The judge of a chaos run.  It knows nothing of the services but their tables, nothing of the run
but what its customers wrote down, and shares no code with either.

    facts = Facts(...)                  collect.py reads them; the judge's own tests make them up
    verdicts = check(facts)             one for each invariant
    all(verdict.is_good for verdict in verdicts)

Rows are dicts of texts and numbers, as collect.py describes them.
"""

import collections
import json
from dataclasses import dataclass, field

SETTLED_STEPS = {"confirmed": "captured", "cancelled": "closed"}
EXAMPLES = 5  # problems of one invariant that are shown


@dataclass
class Facts:
    orders: list = field(default_factory=list)  # id user payment state reason step minor currency
    lines: list = field(default_factory=list)  # order product quantity
    summaries: list = field(default_factory=list)  # order state
    products: list = field(default_factory=list)  # id stock
    initial_stock: dict = field(default_factory=dict)  # product -> number
    payments: list = field(default_factory=list)  # id order user state wish minor currency
    operations: list = field(default_factory=list)  # payment operation result minor currency
    outboxes: dict = field(default_factory=dict)  # database -> rows, in the order of their ids:
    #                                id event aggregate is_sent channels[names]
    accounts: list = field(default_factory=list)  # ids
    customers: list = field(default_factory=list)  # what customers.py writes down
    history_size: int = 1000  # publications that a channel keeps


@dataclass
class Verdict:
    name: str
    counts: dict
    problems: list

    @property
    def is_good(self):
        return not self.problems

    def __str__(self):
        counts = ", ".join(f"{value} {name}" for name, value in self.counts.items())
        text = f"{'ok  ' if self.is_good else 'FAIL'}  {self.name}: {counts}"
        for problem in self.problems[:EXAMPLES]:
            text += f"\n        {problem}"
        if len(self.problems) > EXAMPLES:
            text += f"\n        … and {len(self.problems) - EXAMPLES} more"
        return text


def check(facts):
    return [invariant(facts) for invariant in INVARIANTS]


# Orders

def every_answer_came(facts):
    """Nobody is still waiting: each request was answered in the end, one way or the other."""
    requests = [request for customer in facts.customers
                for request in customer["creates"] + customer["cancels"]]
    problems = [f"{r['key']} of {r['method']} was never answered: {r['answers'][-3:]}"
                for r in requests if r["outcome"] is None]
    retried = sum(len(r["answers"]) > 1 for r in requests)
    return Verdict("every request was answered", {
        "requests": len(requests), "of them asked more than once": retried}, problems)


def none_lost(facts):
    """What was acknowledged exists, as it was acknowledged, and nothing that was not."""
    by_id = {order["id"]: order for order in facts.orders}
    problems, acknowledged = [], {}
    for customer in facts.customers:
        for create in customer["creates"]:
            if not create["order"]:
                continue
            if create["order"] in acknowledged:
                problems.append(f"{create['order']} was the answer to two keys")
            acknowledged[create["order"]] = create["key"]
            order = by_id.get(create["order"])
            if order is None:
                problems.append(f"{create['order']} was acknowledged and is not there")
            elif order["user"] != customer["user"]:
                problems.append(f"{order['id']} belongs to {order['user']}")
            elif order["minor"] != create["minor"]:
                problems.append(f"{order['id']} was acknowledged as {create['minor']}, "
                                f"is {order['minor']}")
    problems += [f"{order} exists, and nobody was told" for order in by_id
                 if order not in acknowledged]
    return Verdict("no order lost, none made twice", {
        "orders": len(by_id), "acknowledged": len(acknowledged)}, problems)


def none_stuck(facts):
    problems = [f"{order['id']} is {order['state']} and its saga {order['step']}"
                for order in facts.orders if SETTLED_STEPS.get(order["state"]) != order["step"]]
    problems += [f"payment {payment['id']} is {payment['state']} and wishes {payment['wish']}"
                 for payment in facts.payments if payment["wish"] != "nothing"]
    states = collections.Counter(order.get("reason") or order["state"] for order in facts.orders)
    return Verdict("no order stuck", dict(states) or {"orders": 0}, problems)


def cancelled_stays_cancelled(facts):
    states = {order["id"]: order["state"] for order in facts.orders}
    done = [cancel for customer in facts.customers for cancel in customer["cancels"]
            if cancel["outcome"] == "ok"]
    problems = [f"{cancel['order']} was cancelled and is {states.get(cancel['order'])}"
                for cancel in done if states.get(cancel["order"]) != "cancelled"]
    return Verdict("what was cancelled stays cancelled", {"cancellations": len(done)}, problems)


def read_model_agrees(facts):
    summaries = {row["order"]: row["state"] for row in facts.summaries}
    problems = [f"{order['id']} is {order['state']}, listed as {summaries.get(order['id'])}"
                for order in facts.orders if summaries.get(order["id"]) != order["state"]]
    problems += [f"{order} is listed and does not exist"
                 for order in summaries.keys() - {order["id"] for order in facts.orders}]
    return Verdict("the read model agrees", {"rows": len(summaries)}, problems)


def stock_adds_up(facts):
    sold = collections.Counter()
    states = {order["id"]: order["state"] for order in facts.orders}
    for line in facts.lines:
        if states.get(line["order"]) != "cancelled":
            sold[line["product"]] += line["quantity"]
    problems, left = [], {row["id"]: row["stock"] for row in facts.products}
    for product, initial in facts.initial_stock.items():
        stock = left.get(product, 0)
        if stock < 0:
            problems.append(f"{product}: {stock} in stock")
        if stock + sold[product] != initial:
            problems.append(f"{product}: {stock} in stock + {sold[product]} sold is not {initial}")
    return Verdict("stock + sold = initial", {
        "products": len(left), "pieces sold": sum(sold.values())}, problems)


# Money

def done_at_provider(facts):
    """payment -> {operation: amount} of what the provider did."""
    done = collections.defaultdict(dict)
    for row in facts.operations:
        if row["result"] == "done":
            done[row["payment"]][row["operation"]] = (row["minor"], row["currency"])
    return done


def charged_at_most_once(facts):
    captures = collections.Counter()
    order_of = {order["payment"]: order["id"] for order in facts.orders}
    order_of |= {payment["id"]: payment["order"] for payment in facts.payments}
    problems = []
    for row in facts.operations:
        if row["payment"] not in order_of:
            problems.append(f"the provider has {row['operation']} of {row['payment']}, "
                            "which belongs to no order")
        elif row["operation"] == "capture" and row["result"] == "done":
            captures[order_of[row["payment"]]] += 1
    problems += [f"{order} was charged {count} times"
                 for order, count in captures.items() if count > 1]
    payments = collections.Counter(payment["order"] for payment in facts.payments)
    problems += [f"{order} has {count} payments" for order, count in payments.items() if count > 1]
    return Verdict("each order charged at most once", {"charges": sum(captures.values())}, problems)


def charged_iff_confirmed(facts):
    done, problems, charged = done_at_provider(facts), [], 0
    states = {payment["order"]: payment["state"] for payment in facts.payments}
    for order in facts.orders:
        did = done.get(order["payment"], {})
        is_charged = "capture" in did and "refund" not in did
        charged += is_charged
        if is_charged != (order["state"] == "confirmed"):
            problems.append(f"{order['id']} is {order['state']}, the provider did {sorted(did)}")
        elif order["state"] == "cancelled" and "authorize" in did and \
                not did.keys() & {"void", "refund"}:
            problems.append(f"{order['id']} is cancelled, and its money is still held")
        elif (states.get(order["id"]) == "captured") != is_charged:
            problems.append(f"{order['id']}: payment says {states.get(order['id'])}, "
                            f"the provider did {sorted(did)}")
    return Verdict("captured and not refunded if and only if confirmed", {
        "orders": len(facts.orders), "charged": charged}, problems)


def money_agrees(facts):
    """By user and currency, in three sets of books that know nothing of each other."""
    order_books, payment_books, provider_books = (collections.Counter() for _ in range(3))
    user_of = {order["payment"]: order["user"] for order in facts.orders}
    for order in facts.orders:
        if order["state"] == "confirmed":
            order_books[order["user"], order["currency"]] += order["minor"]
    for payment in facts.payments:
        if payment["state"] == "captured":
            payment_books[payment["user"], payment["currency"]] += payment["minor"]
    for payment, did in done_at_provider(facts).items():
        for operation, sign in (("capture", 1), ("refund", -1)):
            if operation in did:
                minor, currency = did[operation]
                provider_books[user_of.get(payment, "nobody"), currency] += sign * minor
    problems = []
    for key in sorted(order_books.keys() | payment_books.keys() | provider_books.keys()):
        sums = order_books[key], payment_books[key], provider_books[key]
        if len(set(sums)) > 1:
            problems.append(f"{key}: order {sums[0]}, payment {sums[1]}, provider {sums[2]}")
    return Verdict("the sums of money agree", {
        "minor units by order": sum(order_books.values()),
        "by payment": sum(payment_books.values()),
        "by the provider": sum(provider_books.values())}, problems)


# Events

def outbox_is_drained(facts):
    problems = [f"{database}: row {row['id']} was not sent"
                for database, rows in facts.outboxes.items() for row in rows if not row["is_sent"]]
    return Verdict("the outboxes are drained", {
        database: len(rows) for database, rows in facts.outboxes.items()}, problems)


def rows_of_channels(facts):
    """channel -> its rows, in the order in which their database numbered them."""
    channels = collections.defaultdict(list)
    for rows in facts.outboxes.values():
        for row in sorted(rows, key=lambda row: row["id"]):
            for channel in row["channels"]:
                channels[channel].append(row)
    return channels


def excused_losses(log, history_size):
    """How many events a client may miss: those of losses beyond what its channel keeps."""
    missed, (epoch, offset) = 0, log["start"]
    for note in log["notes"]:
        gap = note["offset"] - offset
        if note["kind"] == "lost" and note["epoch"] == epoch and gap > history_size:
            missed += gap
        epoch, offset = note["epoch"], note["offset"]
    return missed


def unbroken(name, log, problems):
    """Positions follow one another; what may break them is a loss that was told."""
    epoch, offset = log["start"]
    for note in log["notes"]:
        if note["kind"] == "lost":
            epoch, offset = note["epoch"], note["offset"]
        elif (note["epoch"], note["offset"]) != (epoch, offset + 1):
            problems.append(f"{name}: {note['epoch']} {note['offset']} came after {epoch} {offset}")
            epoch, offset = note["epoch"], note["offset"]
        else:
            offset = note["offset"]


def events_seen_once(facts):
    """Every row of an outbox, once, by the customer whose channel it went to."""
    rows, problems, seen_count, row_count = rows_of_channels(facts), [], 0, 0
    for customer in facts.customers:
        for channel, log in customer["channels"].items():
            unbroken(channel, log, problems)
            seen = collections.Counter(note["event"] for note in log["notes"]
                                       if note["kind"] == "event")
            # What was there before it came for the first time is not its.
            wanted = {row["event"] for row in rows.get(channel, [])[log["start"][1]:]}
            row_count += len(wanted)
            seen_count += sum(seen.values())
            problems += [f"{channel}: {event} was seen {count} times"
                         for event, count in seen.items() if count > 1]
            missing = wanted - seen.keys()
            if len(missing) > excused_losses(log, facts.history_size):
                problems += [f"{channel}: {event} was never seen" for event in sorted(missing)]
            problems += [f"{channel}: {event} is in no outbox" for event in seen.keys() - wanted]
    listened = {channel for customer in facts.customers for channel in customer["channels"]}
    problems += [f"nobody listened to {channel}" for channel in rows
                 if "#" in channel and channel not in listened]
    return Verdict("every event seen exactly once by its owner", {
        "rows": row_count, "seen": seen_count}, problems)


def events_in_order(facts):
    """Events of one order, in the order in which it happened."""
    rows, problems, compared = rows_of_channels(facts), [], 0
    for customer in facts.customers:
        for channel, log in customer["channels"].items():
            place = {row["event"]: (row["aggregate"], number)
                     for number, row in enumerate(rows.get(channel, []))}
            last = {}
            for note in log["notes"]:
                if note["kind"] != "event" or note["event"] not in place:
                    continue
                aggregate, number = place[note["event"]]
                compared += 1
                if number < last.get(aggregate, -1):
                    problems.append(f"{channel}: {note['event']} of {aggregate} came late")
                last[aggregate] = number
    return Verdict("events of an order in order", {"events": compared}, problems)


def losses_are_excused(facts):
    """`recovered: false` is allowed to a client that missed more than the channel keeps."""
    problems, told, recovered, connects = [], 0, 0, 0
    for customer in facts.customers:
        connects += customer["connects"]
        for channel, log in customer["channels"].items():
            recovered += log["recovered"]
            epoch, offset = log["start"]
            for note in log["notes"]:
                if note["kind"] == "lost":
                    told += 1
                    if note["epoch"] != epoch or note["offset"] - offset <= facts.history_size:
                        problems.append(f"{channel}: from {epoch} {offset} to {note['epoch']} "
                                        f"{note['offset']} was not recovered")
                epoch, offset = note["epoch"], note["offset"]
    return Verdict("no loss of events but for exceeded history", {
        "connects": connects, "recovered": recovered, "told of a loss": told}, problems)


def nobody_sees_others(facts):
    """Nor does a public channel name anybody."""
    problems, public, strangers = [], 0, 0
    names = {*facts.accounts, *(order["id"] for order in facts.orders),
             *(order["payment"] for order in facts.orders)}
    for customer in facts.customers:
        for channel, log in customer["channels"].items():
            for note in log["notes"]:
                if note["kind"] == "event" and note["user"] != customer["user"]:
                    problems.append(f"{customer['user']} saw an event of {note['user']} "
                                    f"on {channel}")
        for push in customer["public"]:
            public += 1
            text = json.dumps(push["data"])
            problems += [f"{push['channel']} names {name}" for name in names if name in text]
        for push in customer["strange"]:
            problems.append(f"{customer['user'] or 'nobody'} got {push} on a channel of another")
        strangers += customer["attempts"]
    return Verdict("nobody saw another's event", {
        "subscriptions that were tried": strangers, "public events": public}, problems)


INVARIANTS = [every_answer_came, none_lost, none_stuck, cancelled_stays_cancelled,
              read_model_agrees, stock_adds_up, charged_at_most_once, charged_iff_confirmed,
              money_agrees, outbox_is_drained, events_seen_once, events_in_order,
              losses_are_excused, nobody_sees_others]
