"""The payment service over real PostgreSQL and Redis; the order service is the test, which speaks on
the streams.  The provider is the simulated one: its books are asked what really happened."""

import datetime
import json
import os
import random
import uuid
from pathlib import Path

import pytest
import redis as redis_client

from support.hub import ROOT
from support.rpc_caller import CallError, Calls
from support.service import Service, wait_until

GOOD = "4242424242424242"
DECLINED = "4000000000000002"
SLOW = "4000000000000259"
ANSWER_LOST = "4000000000000341"
TIME_OUT = "4000000000000408"
TYPES = {"requested": "payment.requested.v1", "confirmed": "order.confirmed.v1",
         "void": "payment.void_requested.v1", "refund": "payment.refund_requested.v1"}


def uuid7():
    stamp = int(datetime.datetime.now().timestamp() * 1000)
    return str(uuid.UUID(int=(stamp << 80) | (0x7 << 76) | (random.getrandbits(12) << 64) |
                         (0b10 << 62) | random.getrandbits(62)))


def binary_path():
    hub = Path(os.environ.get("WIREHUB_BIN", ROOT / "build/debug/bin/wirehub"))
    return hub.parent / "wirehub-payment"


class PaymentService(Service):
    def __init__(self, redis, postgres, database, **options):
        self.postgres = postgres
        self.database = database
        env = {"WIREHUB_PAYMENT_DATABASE_URL": postgres.url(database),
               "WIREHUB_PAYMENT_PROVIDER_URL": postgres.url(database)}
        crash_at = options.pop("crash_at", None)
        if crash_at:
            env["WIREHUB_CRASH_AT"] = crash_at
        super().__init__(redis, binary=binary_path(), env=env,
                         options={"testing.journal": None, "provider.latency": "0",
                                  **{name.replace("__", "."): value
                                     for name, value in options.items()}})
        self.wait_ready()

    def sql(self, text):
        return self.postgres.sql(text, self.database)


class Shop:
    """The other side of the streams."""

    def __init__(self, redis):
        self.redis = redis_client.Redis(port=redis.port)

    def ask(self, what, payment, order, *, user="ann", minor=1999, card=GOOD, event_id=None):
        data = {"payment": payment, "order": order, "user": user}
        money = {"amount_minor": minor, "currency": "EUR"}
        data.update({"requested": {"amount": money, "card": card, "attempt": 1},
                     "confirmed": {"total": money}, "void": {"reason": "payment_timeout"},
                     "refund": {"amount": money}}[what])
        event = {"specversion": "1.0", "id": event_id or uuid7(), "source": "/order",
                 "type": TYPES[what], "subject": order,
                 "time": datetime.datetime.now(datetime.timezone.utc).isoformat(),
                 "datacontenttype": "application/json", "data": data}
        self.redis.xadd("wh:events:" + TYPES[what].split(".")[0], {"event": json.dumps(event)})

    def told(self, order):
        """Kinds of the events about one order that the payment service said, in order."""
        events = [json.loads(fields[b"event"])
                  for _, fields in self.redis.xrange("wh:events:payment")]
        return [event["type"].split(".")[1] for event in events
                if event["subject"] == order and event["source"].endswith("payment")]

    def wait_told(self, order, *kinds):
        wait_until(lambda: self.told(order)[:len(kinds)] == list(kinds),
                   f"not {kinds} but {self.told(order)}", 30)


def books(service, payment):
    """What the provider did, whatever we believe."""
    return dict(service.sql("select operation, result from simulated_provider.operation "
                            f"where payment = '{payment}'"))


@pytest.fixture
def pay(redis, shared_postgres):
    """pay(**options) → service; several of one database."""
    database = f"payment_{uuid.uuid4().hex}"
    shared_postgres.create(database)
    services = []

    def start(**options):
        services.append(PaymentService(redis, shared_postgres, database, **options))
        return services[-1]

    yield start
    for service in reversed(services):
        service.close()


@pytest.fixture
def shop(redis):
    return Shop(redis)


def test_a_payment_is_authorized_and_captured_when_its_order_is_confirmed(pay, shop, redis):
    service = pay()
    payment, order = uuid7(), uuid7()
    shop.ask("requested", payment, order)
    shop.wait_told(order, "authorized")
    shop.ask("confirmed", payment, order)
    shop.wait_told(order, "authorized", "captured")
    assert books(service, payment) == {"authorize": "done", "capture": "done"}
    live = shop.redis.xrange("wh:stream:payments:live#ann")
    assert len(live) == 2


def test_a_declined_card_is_told_with_its_reason(pay, shop):
    service = pay()
    payment, order = uuid7(), uuid7()
    shop.ask("requested", payment, order, card=DECLINED)
    shop.wait_told(order, "declined")
    assert service.sql(f"select reason, card from payment where id = '{payment}'") == \
        [["card_declined", ""]]
    assert books(service, payment) == {"authorize": "refused"}


@pytest.mark.parametrize("card", [ANSWER_LOST, TIME_OUT, SLOW])
def test_a_provider_that_does_not_answer_charges_once_all_the_same(pay, shop, card):
    service = pay(provider__timeout="3s")
    payment, order = uuid7(), uuid7()
    shop.ask("requested", payment, order, card=card)
    shop.wait_told(order, "authorized")
    shop.ask("confirmed", payment, order)
    shop.wait_told(order, "authorized", "captured")
    assert shop.told(order) == ["authorized", "captured"]
    assert books(service, payment) == {"authorize": "done", "capture": "done"}


def test_a_slow_payment_does_not_hold_up_the_others(pay, shop):
    pay(provider__timeout="10s")
    slow, slow_order = uuid7(), uuid7()
    shop.ask("requested", slow, slow_order, card=SLOW)
    others = [(uuid7(), uuid7()) for _ in range(20)]
    for payment, order in others:
        shop.ask("requested", payment, order)
    for _, order in [*others, (slow, slow_order)]:
        shop.wait_told(order, "authorized")
    said = [json.loads(fields[b"event"]) for _, fields in shop.redis.xrange("wh:events:payment")]
    authorized = [event["subject"] for event in said if event["type"] == "payment.authorized.v1"]
    assert authorized.index(slow_order) > 0  # it was asked for first, and takes 2 s


def test_a_void_releases_what_was_held(pay, shop):
    service = pay()
    payment, order = uuid7(), uuid7()
    shop.ask("requested", payment, order)
    shop.wait_told(order, "authorized")
    shop.ask("void", payment, order)
    shop.wait_told(order, "authorized", "voided")
    assert books(service, payment) == {"authorize": "done", "void": "done"}


def test_a_void_that_overtakes_its_request_keeps_the_card_from_being_charged(pay, shop):
    service = pay()
    payment, order = uuid7(), uuid7()
    shop.ask("void", payment, order)
    shop.wait_told(order, "voided")
    shop.ask("requested", payment, order)
    shop.wait_told(order, "voided", "voided")
    assert books(service, payment) == {}


def test_a_captured_payment_is_refunded_in_full(pay, shop):
    service = pay()
    payment, order = uuid7(), uuid7()
    shop.ask("requested", payment, order)
    shop.wait_told(order, "authorized")
    shop.ask("confirmed", payment, order)
    shop.wait_told(order, "authorized", "captured")
    shop.ask("refund", payment, order)
    shop.wait_told(order, "authorized", "captured", "refunded")
    assert books(service, payment)["refund"] == "done"
    assert service.sql("select amount_minor from simulated_provider.operation "
                       f"where payment = '{payment}' and operation = 'refund'") == [["1999"]]


def test_asking_again_is_answered_again_and_does_nothing(pay, shop):
    service = pay()
    payment, order = uuid7(), uuid7()
    for _ in range(3):
        shop.ask("requested", payment, order)
    shop.wait_told(order, "authorized")
    shop.ask("requested", payment, order)
    shop.wait_told(order, "authorized", "authorized")
    assert books(service, payment) == {"authorize": "done"}


def test_the_same_event_twice_counts_once(pay, shop):
    pay()
    payment, order, event = uuid7(), uuid7(), uuid7()
    shop.ask("requested", payment, order, event_id=event)
    shop.wait_told(order, "authorized")
    shop.ask("requested", payment, order, event_id=event)
    marker, marked = uuid7(), uuid7()
    shop.ask("requested", marker, marked)
    shop.wait_told(marked, "authorized")  # the stream was read beyond the duplicate
    assert shop.told(order) == ["authorized"]


def test_two_instances_charge_each_payment_once(pay, shop):
    first, _ = pay(), pay()
    asked = [(uuid7(), uuid7()) for _ in range(60)]
    for payment, order in asked:
        shop.ask("requested", payment, order, card=random.choice([GOOD, ANSWER_LOST, TIME_OUT]))
    for _, order in asked:
        shop.wait_told(order, "authorized")
    for payment, order in asked:
        shop.ask("confirmed", payment, order)
    for _, order in asked:
        shop.wait_told(order, "authorized", "captured")
    assert first.sql("select count(*), sum(amount_minor) from simulated_provider.operation "
                     "where operation = 'capture' and result = 'done'") == [["60", str(60 * 1999)]]


def test_a_crash_between_charge_and_answer_charges_once(pay, shop):
    service = pay(provider__latency="300ms", provider__timeout="1s")
    payment, order = uuid7(), uuid7()
    shop.ask("requested", payment, order)
    wait_until(lambda: service.sql(f"select 1 from payment where id = '{payment}' "
                                   "and lease_until is not null"), "nobody is at it")
    service.expected_exit = -9
    service.process.kill()
    service.wait_exit()
    pay()
    shop.wait_told(order, "authorized")
    assert books(service, payment) == {"authorize": "done"}


def test_users_see_their_own_payments_and_no_others(pay, shop, redis):
    pay()
    mine = [(uuid7(), uuid7()) for _ in range(5)]
    for payment, order in mine:
        shop.ask("requested", payment, order, user="ann")
        shop.wait_told(order, "authorized")
    with Calls(redis) as call:
        one = call("payments.v1.get", {"order": mine[0][1]}, user="ann")
        assert one["payment"] == mine[0][0] and one["state"] == "authorized"
        assert one["amount"] == {"amount_minor": 1999, "currency": "EUR"}
        assert one["card_last4"] == "4242"
        for user in ("bob", "an", "annn"):
            with pytest.raises(CallError) as error:
                call("payments.v1.get", {"payment": mine[0][0]}, user=user)
            assert error.value.code == 404
        page = call("payments.v1.list", {"limit": 2}, user="ann", as_msgpack=True)
        seen = [item["payment"] for item in page["payments"]]
        while page.get("next"):
            page = call("payments.v1.list", {"limit": 2, "cursor": page["next"]}, user="ann")
            seen += [item["payment"] for item in page["payments"]]
        assert seen == [payment for payment, _ in sorted(mine, reverse=True)]
        assert call("payments.v1.list", {}, user="bob") == {"payments": []}


@pytest.mark.parametrize("params", [{}, {"payment": "x", "order": "y"}, {"payment": "no uuid"},
                                    {"payment": 5}, []])
def test_unreadable_params_are_refused(pay, redis, params):
    pay()
    with Calls(redis) as call, pytest.raises(CallError) as error:
        call("payments.v1.get", params or [1], user="ann")
    assert error.value.code == 107
