"""The judge of chaos runs must see what is wrong, and nothing else."""

import copy

import pytest

from chaos.checker import Facts, check

ANN, BOB = "user-ann", "user-bob"


def event(offset, row, user=ANN, epoch="e1"):
    return {"kind": "event", "epoch": epoch, "offset": offset, "event": row, "subject": "o1",
            "user": user}


def request(order, minor=500, **fields):
    return {"method": "orders.v1.create", "key": f"key of {order}", "answers": [0],
            "outcome": "ok", "order": order, "minor": minor, **fields}


def customer(user, **fields):
    return {"user": user, "creates": [], "cancels": [], "channels": {}, "public": [],
            "strange": [], "attempts": 0, "connects": 1, "away": [], **fields}


def row(number, name, aggregate, *channels):
    return {"id": number, "event": name, "aggregate": aggregate, "is_sent": True,
            "channels": list(channels)}


@pytest.fixture
def facts():
    """Ann bought two pieces and cancelled another order after it was charged; Bob's was declined."""
    ann, bob = f"orders:live#{ANN}", f"orders:live#{BOB}"
    order = {"user": ANN, "state": "confirmed", "step": "captured", "minor": 500, "currency": "EUR"}
    payment = {"user": ANN, "state": "captured", "wish": "nothing", "minor": 500, "currency": "EUR"}
    gone = {"state": "cancelled", "step": "closed"}
    done = {"result": "done", "minor": 500, "currency": "EUR"}
    return Facts(
        orders=[{**order, "id": "o1", "payment": "p1"},
                {**order, "id": "o2", "payment": "p2", **gone},
                {**order, "id": "o3", "payment": "p3", **gone, "user": BOB}],
        lines=[{"order": name, "product": "cup", "quantity": 2} for name in ("o1", "o2", "o3")],
        summaries=[{"order": "o1", "state": "confirmed"}, {"order": "o2", "state": "cancelled"},
                   {"order": "o3", "state": "cancelled"}],
        products=[{"id": "cup", "stock": 8}], initial_stock={"cup": 10},
        payments=[{**payment, "id": "p1", "order": "o1"},
                  {**payment, "id": "p2", "order": "o2", "state": "refunded"},
                  {**payment, "id": "p3", "order": "o3", "state": "declined", "user": BOB}],
        operations=[{**done, "payment": "p1", "operation": "authorize"},
                    {**done, "payment": "p1", "operation": "capture"},
                    {**done, "payment": "p2", "operation": "authorize"},
                    {**done, "payment": "p2", "operation": "capture"},
                    {**done, "payment": "p2", "operation": "refund"},
                    {**done, "payment": "p3", "operation": "authorize", "result": "refused"}],
        outboxes={"user": [], "payment": [], "order": [
            row(1, "v1", "o1", ann), row(2, "v2", "o2", ann), row(3, "v3", "o3", bob),
            row(4, "v4", "o1", ann, "market:ticker"), row(5, "v5", "o1")]},
        accounts=[ANN, BOB],
        customers=[
            customer(ANN, creates=[request("o1"), request("o2")],
                     cancels=[request("o2", method="orders.v1.cancel")],
                     channels={ann: {"start": ["e1", 0], "recovered": 1, "notes": [
                         event(1, "v1"), event(2, "v2"), event(3, "v4")]}},
                     public=[{"channel": "market:ticker", "data": {"product": "cup"}}]),
            customer(BOB, creates=[request("o3"), request(None, outcome=409, minor=None)],
                     channels={bob: {"start": ["e1", 0], "recovered": 0,
                                     "notes": [event(1, "v3", BOB)]}})])


def broken(facts):
    return {verdict.name for verdict in check(facts) if not verdict.is_good}


def test_a_good_run_is_called_good(facts):
    assert broken(facts) == set()
    assert all("ok" in str(verdict) for verdict in check(facts))


def anns(facts):
    return facts.customers[0]["channels"][f"orders:live#{ANN}"]


def renumber(log):
    for number, note in enumerate(log["notes"], log["start"][1] + 1):
        note["offset"] = number


def drop_event(facts):
    del anns(facts)["notes"][1]
    renumber(anns(facts))


def double_event(facts):
    anns(facts)["notes"].append(event(4, "v4"))


def swap_events(facts):
    notes = anns(facts)["notes"]
    notes[0], notes[2] = notes[2], notes[0]
    renumber(anns(facts))


def unnoticed_gap(facts):
    anns(facts)["notes"][2]["offset"] = 7


def unexcused_loss(facts):
    anns(facts)["notes"].insert(1, {"kind": "lost", "epoch": "e1", "offset": 1})


def other_epoch(facts):
    anns(facts)["notes"].append({"kind": "lost", "epoch": "e2", "offset": 2000})


def set_in(table, index, **fields):
    def doctor(facts):
        getattr(facts, table)[index].update(fields)
    return doctor


def add_to(table, like, **fields):
    def doctor(facts):
        rows = getattr(facts, table)
        rows.append({**copy.deepcopy(rows[like]), **fields})
    return doctor


def remove_from(table, index):
    return lambda facts: getattr(facts, table).pop(index)


def in_notes(kind, index, **fields):
    return lambda facts: facts.customers[0][kind][index].update(fields)


ONCE = "every event seen exactly once by its owner"
STUCK = "no order stuck"
LOST = "no order lost, none made twice"
IFF = "captured and not refunded if and only if confirmed"
MONEY = "the sums of money agree"
ORDERED = "events of an order in order"
OTHERS = "nobody saw another's event"
LOSS = "no loss of events but for exceeded history"
CHARGED = "each order charged at most once"
STOCK = "stock + sold = initial"
MODEL = "the read model agrees"
STAYS = "what was cancelled stays cancelled"


DAMAGES = [
    (in_notes("creates", 0, outcome=None), {"every request was answered"}),
    (in_notes("creates", 0, order="o9"), {LOST}),
    (in_notes("creates", 0, minor=499), {LOST}),
    (in_notes("creates", 1, order="o1"), {LOST}),
    (add_to("orders", 1, id="o8", payment="p8"), {LOST, MODEL}),
    (set_in("orders", 2, user=ANN), {LOST}),
    (set_in("orders", 0, step="awaiting_capture"), {STUCK}),
    (set_in("orders", 2, step=None), {STUCK}),
    (set_in("orders", 2, state="pending", step="awaiting_payment"), {STUCK, STOCK, MODEL}),
    (set_in("payments", 0, wish="capture"), {STUCK}),
    (set_in("orders", 1, state="confirmed", step="captured"), {STAYS, STOCK, MODEL, IFF, MONEY}),
    (set_in("summaries", 0, state="pending"), {MODEL}),
    (remove_from("summaries", 1), {MODEL}),
    (set_in("products", 0, stock=7), {STOCK}),
    (set_in("products", 0, stock=-1), {STOCK}),
    (add_to("operations", 1), {CHARGED}),
    (add_to("operations", 1, payment="p7"), {CHARGED, MONEY}),
    (add_to("payments", 0, id="p6"), {CHARGED, MONEY}),
    (remove_from("operations", 1), {IFF, MONEY}),
    (remove_from("operations", 4), {IFF, MONEY}),
    (set_in("operations", 1, minor=501), {MONEY}),
    (set_in("operations", 5, result="done"), {IFF}),
    (set_in("payments", 0, state="authorized"), {IFF, MONEY}),
    (set_in("payments", 0, currency="USD"), {MONEY}),
    (lambda facts: facts.outboxes["order"][4].update(is_sent=False), {"the outboxes are drained"}),
    (drop_event, {ONCE}),
    (double_event, {ONCE}),
    (swap_events, {ORDERED}),
    (unnoticed_gap, {ONCE}),
    (lambda facts: anns(facts)["notes"][0].update(event="v77"), {ONCE}),
    (lambda facts: facts.customers[0]["channels"].clear(), {ONCE}),
    (unexcused_loss, {LOSS}),
    (other_epoch, {LOSS}),
    (lambda facts: anns(facts)["notes"][0].update(user=BOB), {OTHERS}),
    (lambda facts: facts.customers[1]["strange"].append({"channel": "x"}), {OTHERS}),
    (lambda facts: facts.customers[0]["public"][0]["data"].update(x=[f"by {BOB}"]), {OTHERS}),
    (lambda facts: facts.customers[0]["public"][0]["data"].update(x="o1"), {OTHERS}),
]


@pytest.mark.parametrize("doctor, names", DAMAGES)
def test_each_kind_of_damage_breaks_its_invariants_and_no_others(facts, doctor, names):
    doctor(facts)
    assert broken(facts) == names


def test_every_invariant_can_be_broken(facts):
    assert {name for _, names in DAMAGES for name in names} == {v.name for v in check(facts)}


def test_a_loss_beyond_the_history_is_counted_and_excused(facts):
    anns(facts)["notes"][1:] = [{"kind": "lost", "epoch": "e1", "offset": 1 + 1001}]
    assert broken(facts) == set()
    assert any(verdict.counts.get("told of a loss") == 1 for verdict in check(facts))
