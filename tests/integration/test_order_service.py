"""The order service over real PostgreSQL and Redis.  The test is the hub that calls it; payment is
a fake that the cards steer (support/fake_payment.py)."""

import json
import random
import re
import subprocess
import uuid
from concurrent.futures import ThreadPoolExecutor

import jsonschema
import pytest

from support.fake_payment import DECLINED, GOOD, SILENT, FakePayment
from support.hub import ROOT
from support.order_service import SETTLE_SECONDS, OrderService, product
from support.rpc_caller import CallError, Calls
from support.service import wait_until

FAST = {"saga.payment_timeout": "300ms", "saga.payment_attempts": 2, "saga.settle_timeout": "1h"}
SLOW = {"saga.payment_timeout": "1h", "saga.settle_timeout": "1h"}


@pytest.fixture
def shop(redis, shared_postgres):
    """shop(options) starts the service; shop.call and shop.payment speak with it."""
    database = f"order_{uuid.uuid4().hex}"
    shared_postgres.create(database)
    opened = []

    def start(options=None):
        service = OrderService(redis, shared_postgres, database, options or SLOW)
        opened.append(service)
        return service

    with Calls(redis) as call, FakePayment(redis) as payment:
        start.call = call
        start.payment = payment
        yield start
        for service in reversed(opened):
            service.close()


def create(call, *lines, card=GOOD, user="ann", key=None):
    """`lines`: (product name, quantity)."""
    params = {"lines": [{"product": product(name), "quantity": count} for name, count in lines],
              "card": card}
    return call("orders.v1.create", params, user=user, key=key or str(uuid.uuid4()))


def cancel(call, order, user="ann", key=None):
    return call("orders.v1.cancel", {"order": order}, user=user, key=key or str(uuid.uuid4()))


def refusal(call, method, params=None, **options):
    with pytest.raises(CallError) as error:
        call(method, params, **options)
    return error.value.code


def live_events(redis, user):
    """The history of the user's channel: (offset, event)."""
    entries = redis.cli("--json", "XRANGE", f"wh:stream:orders:live#{user}", "-", "+")
    return [(int(entry[0].split("-")[0]), json.loads(entry[1][1])) for entry in json.loads(entries)]


# Reading and writing


def test_products_are_listed_to_anybody_page_by_page(shop):
    shop()
    first = shop.call("products.v1.list", {"limit": 6})
    second = shop.call("products.v1.list", {"limit": 6, "cursor": first["next"]}, as_msgpack=True)
    names = [row["sku"] for row in first["products"] + second["products"]]
    assert len(names) == 11 and names == sorted(names) and "next" not in second
    assert second["products"][0]["price"]["currency"] == "EUR"
    assert refusal(shop.call, "products.v1.list", {"limit": 101}) == 107
    assert refusal(shop.call, "products.v1.list", {"cursor": "x" * 101}) == 107
    assert refusal(shop.call, "products.v1.list", {"cursor": "a\0b"}) == 107


def test_an_order_is_created_paid_captured_and_read_back(shop):
    service = shop()
    made = create(shop.call, ("cup", 2), ("filters", 3))
    assert made["state"] == "pending" and made["version"] == 1 and made["card_last4"] == "4242"
    assert made["total"] == {"amount_minor": 2 * 1250 + 3 * 499, "currency": "EUR"}
    assert [line["name"] for line in made["lines"]] == ["Porcelain Cup, 180 ml",
                                                        "Paper Filters, 100 Pieces"]
    service.wait_step(made["order"], "captured")
    read = shop.call("orders.v1.get", {"order": made["order"]}, user="ann")
    assert read["state"] == "confirmed" and read["version"] == 2 and "reason" not in read
    assert read["lines"] == made["lines"] and read["created_at"] == made["created_at"]
    assert service.stock("cup") == 298 and service.stock("filters") == 1997
    assert service.sql("select count(card) from saga") == [["0"]]


@pytest.mark.parametrize("params, code", [
    (None, 107),
    ({"lines": [], "card": GOOD}, 107),
    ({"lines": [{"product": "x", "quantity": 1}], "card": GOOD}, 107),
    ({"lines": [{"product": product("cup"), "quantity": 0}], "card": GOOD}, 107),
    ({"lines": [{"product": product("cup"), "quantity": 1001}], "card": GOOD}, 107),
    ({"lines": [{"product": product("cup"), "quantity": 1}] * 2, "card": GOOD}, 107),
    ({"lines": [{"product": product("cup"), "quantity": 1}], "card": "4242424242424241"}, 107),
    ({"lines": [{"product": product("cup"), "quantity": 1}]}, 107),
    ({"lines": [{"product": product("cup"), "quantity": 1.5}], "card": GOOD}, 107),
    ({"lines": [{"product": str(uuid.UUID(int=7)), "quantity": 1}], "card": GOOD}, 422),
    ({"lines": [{"product": product("machine"), "quantity": 4}], "card": GOOD}, 409),
    ({"lines": [{"product": product("cup"), "quantity": 1},
                {"product": product("machine"), "quantity": 4}], "card": GOOD}, 409),
])
def test_what_cannot_be_ordered_is_refused_and_leaves_nothing(shop, params, code):
    service = shop()
    assert refusal(shop.call, "orders.v1.create", params, user="ann", key="k") == code
    assert service.sql("select count(*) from orders") == [["0"]]
    assert service.sql("select count(*) from outbox") == [["0"]]
    assert service.stock("cup") == 300


def test_orders_of_others_are_not_found(shop):
    service = shop()
    order = create(shop.call, ("cup", 1), user="ann")["order"]
    service.wait_step(order, "captured")
    assert refusal(shop.call, "orders.v1.get", {"order": order}, user="eve") == 404
    assert refusal(shop.call, "orders.v1.cancel", {"order": order}, user="eve", key="k") == 404
    assert refusal(shop.call, "orders.v1.get", {"order": str(uuid.uuid4())}, user="ann") == 404
    assert refusal(shop.call, "orders.v1.get", {"order": "' or 1=1"}, user="ann") == 404
    assert shop.call("orders.v1.list", {}, user="eve")["orders"] == []
    assert shop.call("orders.v1.get", {"order": order}, user="ann")["state"] == "confirmed"


def test_pages_of_orders_neither_repeat_nor_skip_while_orders_are_added(shop):
    service = shop()
    made = [create(shop.call, ("gift", 1))["order"] for _ in range(10)]
    wait_until(lambda: service.sql("select count(*) from order_summary") == [["10"]], "10 summaries")
    page = shop.call("orders.v1.list", {"limit": 4}, user="ann")
    seen = [row["order"] for row in page["orders"]]
    while "next" in page:
        create(shop.call, ("gift", 1))
        page = shop.call("orders.v1.list", {"limit": 4, "cursor": page["next"]}, user="ann")
        seen += [row["order"] for row in page["orders"]]
    assert seen == made[::-1]
    assert refusal(shop.call, "orders.v1.list", {"cursor": "x"}, user="ann") == 107
    assert refusal(shop.call, "orders.v1.list", {"state": "paid"}, user="ann") == 107


def test_orders_are_listed_by_state_with_their_payment(shop):
    service = shop()
    paid = create(shop.call, ("cup", 2))["order"]
    failed = create(shop.call, ("cup", 1), card=DECLINED)["order"]

    def rows(state):
        return shop.call("orders.v1.list", {"state": state}, user="ann")["orders"]

    wait_until(lambda: [row["payment_state"] for row in rows("confirmed")] == ["captured"], "paid")
    wait_until(lambda: [row["payment_state"] for row in rows("cancelled")] == ["declined"], "failed")
    assert rows("confirmed")[0]["order"] == paid and rows("confirmed")[0]["items"] == 2
    assert rows("cancelled")[0]["order"] == failed
    assert rows("cancelled")[0]["reason"] == "payment_declined"
    assert rows("pending") == [] and service.stock("cup") == 298


def test_a_key_makes_an_order_once_and_belongs_to_its_parameters(shop):
    service = shop()
    first = create(shop.call, ("cup", 1), key="once")
    assert create(shop.call, ("cup", 1), key="once") == first
    with pytest.raises(CallError) as error:
        create(shop.call, ("cup", 2), key="once")
    assert error.value.code == 409
    assert create(shop.call, ("cup", 1), key="once", user="bob")["order"] != first["order"]
    assert service.stock("cup") == 298
    without = {"lines": [{"product": product("cup"), "quantity": 1}], "card": GOOD}
    assert refusal(shop.call, "orders.v1.create", without, user="ann") == 107
    inside = {**without, "idempotency_key": "inside"}
    made = shop.call("orders.v1.create", inside, user="ann")
    assert shop.call("orders.v1.create", inside, user="ann") == made


# The saga


def test_a_declined_card_cancels_the_order_and_gives_the_goods_back(shop):
    service = shop()
    order = create(shop.call, ("machine", 3), card=DECLINED)["order"]
    service.wait_step(order, "closed")
    read = shop.call("orders.v1.get", {"order": order}, user="ann")
    assert (read["state"], read["reason"]) == ("cancelled", "payment_declined")
    assert service.stock("machine") == 3
    assert shop.payment.wait(order, "order.cancelled.v1")["reason"] == "payment_declined"


def test_a_silent_payment_is_asked_again_then_given_up_and_voided(shop):
    service = shop(FAST)
    order = create(shop.call, ("machine", 1), card=SILENT)["order"]
    first = shop.payment.wait(order, "payment.requested.v1", 1)
    again = shop.payment.wait(order, "payment.requested.v1", 2)
    assert again == {**first, "attempt": 2}
    void = shop.payment.wait(order, "payment.void_requested.v1")
    assert void["reason"] == "payment_timeout" and void["payment"] == first["payment"]
    service.wait_step(order, "closed")
    assert len(shop.payment.of(order, "payment.requested.v1")) == 2
    assert service.stock("machine") == 3
    read = shop.call("orders.v1.get", {"order": order}, user="ann")
    assert (read["state"], read["reason"]) == ("cancelled", "payment_timeout")


def test_an_answer_to_the_second_request_confirms(shop):
    service = shop({**FAST, "saga.payment_attempts": 1000})
    order = create(shop.call, ("cup", 1), card=SILENT)["order"]
    data = shop.payment.wait(order, "payment.requested.v1", 2)
    shop.payment.payments[data["payment"]] = "authorized"
    shop.payment.send("authorized", data)
    service.wait_step(order, "captured")


def test_an_authorization_after_the_cancellation_is_voided(shop):
    service = shop()
    order = create(shop.call, ("cup", 1), card=SILENT)["order"]
    data = shop.payment.wait(order, "payment.requested.v1")
    cancel(shop.call, order)
    service.wait_step(order, "closed")
    shop.payment.send("authorized", data)
    shop.payment.wait(order, "payment.void_requested.v1", 2)
    wait_until(lambda: len(shop.payment.of(order, "payment.voided.v1")) == 2, "voided again")
    service.wait_step(order, "closed")
    assert service.stock("cup") == 300
    assert len(shop.payment.of(order, "order.cancelled.v1")) == 1


def test_a_pending_order_is_cancelled_by_its_owner_and_voided(shop):
    service = shop()
    order = create(shop.call, ("machine", 2), card=SILENT)["order"]
    assert service.stock("machine") == 1
    done = cancel(shop.call, order, key="c")
    assert (done["state"], done["reason"]) == ("cancelled", "cancelled_by_user")
    assert cancel(shop.call, order, key="c") == done
    assert cancel(shop.call, order)["version"] == done["version"]
    assert service.stock("machine") == 3
    service.wait_step(order, "closed")
    assert len(shop.payment.of(order, "payment.void_requested.v1")) == 1


def test_a_confirmed_order_is_cancelled_by_its_owner_and_refunded(shop):
    service = shop()
    order = create(shop.call, ("machine", 2))["order"]
    service.wait_step(order, "captured")
    assert cancel(shop.call, order)["state"] == "cancelled"
    refund = shop.payment.wait(order, "payment.refund_requested.v1")
    assert refund["amount"] == {"amount_minor": 2 * 189000, "currency": "EUR"}
    service.wait_step(order, "closed")
    assert service.stock("machine") == 3


def test_requests_whose_answer_is_lost_are_repeated_without_telling_the_owner_twice(shop, redis):
    service = shop({"saga.payment_timeout": "1h", "saga.settle_timeout": "300ms"})
    order = create(shop.call, ("cup", 1), card=SILENT)["order"]
    data = shop.payment.wait(order, "payment.requested.v1")
    shop.payment.send("authorized", data)
    shop.payment.wait(order, "order.confirmed.v1", 2)
    shop.payment.send("captured", data)
    service.wait_step(order, "captured")
    live = [event["type"] for _, event in live_events(redis, "ann")]
    assert live == ["order.created.v1", "order.confirmed.v1"]
    sold = shop.payment.of(product("cup"), "market.sold.v1")
    assert len(sold) == 1


@pytest.mark.parametrize("wrong", [
    {"payment": str(uuid.uuid4())},
    {"amount": {"amount_minor": 1, "currency": "EUR"}},
    {"amount": {"amount_minor": 1250, "currency": "USD"}},
    {"order": "nonsense"},
    {"order": str(uuid.uuid4())},
])
def test_an_answer_that_does_not_fit_the_order_becomes_a_dead_letter(shop, redis, wrong):
    service = shop()
    order = create(shop.call, ("cup", 1), card=SILENT)["order"]
    data = shop.payment.wait(order, "payment.requested.v1")
    event = shop.payment.send("authorized", data, **wrong)
    wait_until(lambda: event.encode() in redis.cli("XRANGE", "wh:events:dead:order", "-", "+"),
               "the dead letter", SETTLE_SECONDS)
    assert service.step(order) == "awaiting_payment"
    shop.payment.payments[data["payment"]] = "authorized"
    shop.payment.send("authorized", data)
    service.wait_step(order, "captured")


def test_an_answer_that_comes_twice_or_late_counts_once(shop):
    service = shop()
    order = create(shop.call, ("cup", 1), card=SILENT)["order"]
    data = shop.payment.wait(order, "payment.requested.v1")
    event = shop.payment.send("authorized", data)
    shop.payment.send("captured", data)
    shop.payment.send("authorized", data, event_id=event)
    last = shop.payment.send("authorized", data)
    wait_until(lambda: service.sql(f"select 1 from inbox where event_id = '{last}'"), "consumed")
    assert len(shop.payment.of(order, "order.confirmed.v1")) == 1
    assert service.sql("select o.version, s.step, s.payment_state, m.payment_state from orders o "
                       "join saga s on s.order_id = o.id "
                       "join order_summary m on m.order_id = o.id") == [
        ["2", "captured", "captured", "captured"]]


def test_a_cancellation_that_had_to_wait_sees_what_happened_before_it(shop, shared_postgres):
    service = shop()
    order = create(shop.call, ("cup", 1), card=SILENT)["order"]
    shop.payment.wait(order, "payment.requested.v1")
    other = subprocess.Popen(
        ["psql", "-Xq", shared_postgres.url(service.database)], stdin=subprocess.PIPE, text=True)
    # As if the payment had been authorized by another instance, which is about to commit.
    other.stdin.write(f"""begin;
        select 1 from orders join saga on order_id = id where id = '{order}' for no key update;
        update saga set step = 'awaiting_capture', card = null where order_id = '{order}';
\n""")
    other.stdin.flush()
    wait_until(lambda: service.sql("select 1 from pg_locks l join pg_class c on c.oid = l.relation "
                                   "where c.relname = 'saga' and l.mode = 'RowExclusiveLock'"),
               "the row is locked")
    cancelling = shop.call.start("orders.v1.cancel", {"order": order}, user="ann", key="k")
    wait_until(lambda: service.sql("select 1 from pg_stat_activity where wait_event_type = 'Lock' "
                                   f"and datname = '{service.database}'"), "the cancellation waits")
    other.stdin.write("commit;\n")
    other.stdin.close()
    assert other.wait(timeout=20) == 0
    assert cancelling.result(timeout=20)["state"] == "cancelled"
    shop.payment.wait(order, "payment.refund_requested.v1")
    assert shop.payment.of(order, "payment.void_requested.v1") == []


# Many at once


def test_fifty_buyers_of_the_last_one_and_one_gets_it(shop):
    service = shop()
    service.set_stock("machine", 1)
    params = {"lines": [{"product": product("machine"), "quantity": 1}], "card": GOOD}
    calls = [shop.call.start("orders.v1.create", params, user=f"u{i}", key="k") for i in range(50)]
    codes = [getattr(call.exception(timeout=30), "code", 0) for call in calls]
    assert sorted(codes) == [0] + [409] * 49
    assert service.stock("machine") == 0
    assert service.sql("select count(*) from orders") == [["1"]]


def test_random_orders_and_cancellations_never_oversell_and_the_read_model_agrees(shop):
    names = ["espresso", "cup", "kettle"]
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    service = shop({"saga.payment_timeout": "200ms", "saga.payment_attempts": 2,
                    "saga.settle_timeout": "500ms", "workers": 8})
    for name in names:
        service.set_stock(name, 12)

    def customer(number):
        dice = random.Random(seed + number)
        for _ in range(12):
            chosen = dice.sample(names, dice.randint(1, 3))
            try:
                order = create(shop.call, *[(name, dice.randint(1, 3)) for name in chosen],
                               card=dice.choice([GOOD, GOOD, DECLINED, SILENT]),
                               user=f"u{number}")["order"]
                if dice.random() < 0.6:
                    cancel(shop.call, order, user=f"u{number}")
            except CallError as error:
                assert error.code == 409

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(customer, range(8)))
    wait_until(lambda: service.sql("select count(*) from saga where deadline is not null") == [["0"]],
             "every saga is settled", SETTLE_SECONDS)
    held = service.sql("""
        select p.id, p.stock + coalesce(sum(l.quantity) filter (where o.state <> 'cancelled'), 0)
        from product p left join order_line l on l.product_id = p.id
        left join orders o on o.id = l.order_id group by p.id""")
    assert {row[0]: row[1] for row in held if row[0] in map(product, names)} == {
        product(name): "12" for name in names}
    wait_until(lambda: differences(service) == [], "the read model agrees")
    before = summary(service)
    service.sql("update order_summary set state = 'pending', items = 99; "
                "delete from order_summary where order_id in "
                "(select order_id from order_summary limit 5)")
    assert differences(service) != []
    count = shop.call("orders.v1.rebuild", user="root", roles=["admin"])["orders"]
    assert differences(service) == [] and summary(service) == before and count == len(before)
    check_events_in_order(service, shop.payment)


def summary(service):
    return service.sql("select order_id, user_id, state, reason, payment_state, total_minor, "
                       "currency, items from order_summary order by 1")


def differences(service):
    """Rows in which the read model and the orders differ."""
    truth = """select o.id, o.user_id, o.state, o.reason, s.payment_state, o.total_minor, o.currency,
        (select sum(quantity) from order_line l where l.order_id = o.id)::int
        from orders o join saga s on s.order_id = o.id"""
    model = """select order_id, user_id, state, reason, payment_state, total_minor, currency, items
        from order_summary"""
    return service.sql(f"(({truth}) except ({model})) union all (({model}) except ({truth}))")


# What it says


def check_events_in_order(service, payment):
    """Created first, then at most one confirmation that may be repeated, then at most one
    cancellation and nothing after it."""
    for (order,) in service.sql("select id from orders"):
        said = "".join(event["type"].split(".")[1][1] for event in payment.of(order)
                       if event["type"].startswith("order."))
        assert re.fullmatch("ro*a?", said), said  # second letters: cReated cOnfirmed cAncelled


def test_the_owner_hears_of_each_step_in_order_with_offsets_and_no_card(shop, redis):
    service = shop()
    first = create(shop.call, ("cup", 1))["order"]
    service.wait_step(first, "captured")
    second = create(shop.call, ("cup", 1), card=DECLINED)["order"]
    service.wait_step(second, "closed")
    shop.payment.wait(second, "order.cancelled.v1")
    wait_until(lambda: len(live_events(redis, "ann")) == 4, "four events on the channel")
    heard = live_events(redis, "ann")
    assert [offset for offset, _ in heard] == [1, 2, 3, 4]
    assert [(event["subject"], event["type"]) for _, event in heard] == [
        (first, "order.created.v1"), (first, "order.confirmed.v1"),
        (second, "order.created.v1"), (second, "order.cancelled.v1")]
    assert GOOD not in json.dumps(heard) and DECLINED not in json.dumps(heard)
    on_stream = [event for event in shop.payment.of(first) if event["type"].startswith("order.")]
    assert [event for _, event in heard[:2]] == on_stream


def test_the_ticker_tells_what_was_sold_and_neither_who_nor_which_order(shop, redis):
    service = shop()
    order = create(shop.call, ("cup", 2), ("filters", 1), user="a-secret-user")
    service.wait_step(order["order"], "captured")
    cancelled = create(shop.call, ("gift", 1), card=DECLINED, user="a-secret-user")["order"]
    service.wait_step(cancelled, "closed")
    entries = json.loads(redis.cli("--json", "XRANGE", "wh:stream:market:ticker", "-", "+"))
    sales = [json.loads(entry[1][1]) for entry in entries]
    assert [(sale["product"], sale["amount_minor"]) for sale in sales] == [
        (product("cup"), 2500), (product("filters"), 499)]
    text = json.dumps(entries)
    assert "a-secret-user" not in text and order["order"] not in text
    assert order["payment"] not in text and set(sales[0]) == {
        "product", "name", "amount_minor", "currency", "at"}


def test_each_event_is_what_its_schema_says(shop):
    service = shop(FAST)
    for card in (GOOD, DECLINED, SILENT):
        order = create(shop.call, ("cup", 1), ("filters", 2), card=card)["order"]
        service.wait_step(order, "captured" if card == GOOD else "closed")
    order = create(shop.call, ("cup", 1))["order"]
    service.wait_step(order, "captured")
    cancel(shop.call, order)
    service.wait_step(order, "closed")
    shop.payment.wait(order, "payment.refund_requested.v1")
    checked = set()
    for event in shop.payment.events:
        if event["source"] != "/wirehub/order":
            continue
        schema = json.loads((ROOT / f"docs/events/{event['type']}.json").read_text())
        strict = {**schema, "additionalProperties": False}
        jsonschema.Draft202012Validator(strict).validate(event["data"])
        checked.add(event["type"])
    assert checked == {"order.created.v1", "order.confirmed.v1", "order.cancelled.v1",
                       "payment.requested.v1", "payment.void_requested.v1",
                       "payment.refund_requested.v1", "market.sold.v1"}
