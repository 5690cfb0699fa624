"""The payment service over real PostgreSQL and Redis; the order service is the test, which speaks on
the streams.  The provider is the simulated one: its books are asked what really happened."""

import random
import re
import uuid

import pytest

from support.hub import ROOT
from support.payment_service import (ANSWER_LOST, DECLINED, GOOD, SLOW, TIME_OUT, TYPES,
                                     PaymentService, Shop, books, check_event, uuid7)
from support.rpc_caller import CallError, Calls
from support.service import wait_until


def is_claimed(service, payment):
    return service.sql(f"select 1 from payment where id = '{payment}' and lease_until is not null")


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


def test_a_slow_payment_does_not_hold_up_others(pay, shop):
    service = pay()
    slow, fast = (uuid7(), uuid7()), (uuid7(), uuid7())
    shop.ask("requested", *slow, card=SLOW)
    wait_until(lambda: is_claimed(service, slow[0]), "nobody is at it")
    shop.ask("requested", *fast)
    shop.wait_told(slow[1], "authorized")
    assert [event["subject"] for event in shop.said()] == [fast[1], slow[1]]


def test_a_void_overtakes_an_authorization_that_is_under_way(pay, shop):
    service = pay()
    payment, order = uuid7(), uuid7()
    shop.ask("requested", payment, order, card=SLOW)
    wait_until(lambda: is_claimed(service, payment), "nobody is at it")
    shop.ask("void", payment, order)
    shop.wait_told(order, "voided")
    wait_until(lambda: books(service, payment) == {"void": "done", "authorize": "refused"},
               "the slow answer")
    assert shop.told(order) == ["voided"]


def test_an_end_does_not_wait_for_payments_that_nobody_has_begun(pay, shop):
    service = pay(provider__latency="500ms", shutdown__timeout="10s")
    asked = [(uuid7(), uuid7()) for _ in range(200)]
    for payment, order in asked:
        shop.ask("requested", payment, order)
    wait_until(lambda: is_claimed(service, asked[0][0]), "not begun")
    service.signal()
    assert service.wait_exit() == 0
    pay()  # what was left is done by the next
    shop.wait_told(asked[-1][1], "authorized")


def test_a_crash_between_charge_and_answer_charges_once(pay, shop):
    service = pay(provider__latency="300ms", provider__timeout="1s")
    payment, order = uuid7(), uuid7()
    shop.ask("requested", payment, order)
    wait_until(lambda: is_claimed(service, payment), "nobody is at it")
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


# Contracts


def test_each_event_is_what_its_schema_says(pay, shop):
    pay()
    paid, declined, voided, never = [(uuid7(), uuid7()) for _ in range(4)]
    shop.ask("requested", *declined, card=DECLINED)
    shop.ask("void", *never)
    for both in (paid, voided):
        shop.ask("requested", *both)
        shop.wait_told(both[1], "authorized")
    shop.ask("void", *voided)
    shop.ask("confirmed", *paid)
    shop.wait_told(paid[1], "authorized", "captured")
    shop.ask("refund", *paid)
    shop.wait_told(paid[1], "authorized", "captured", "refunded")
    shop.wait_told(voided[1], "authorized", "voided")
    shop.wait_told(declined[1], "declined")
    shop.wait_told(never[1], "voided")
    money = {"amount_minor": 1999, "currency": "EUR"}
    for event in shop.said():
        check_event(event)
        assert event["subject"] == event["data"]["order"]
        # Whatever was asked for is said in full; of what never was there is nothing to say.
        assert event["data"].get("amount") == (None if event["subject"] == never[1] else money)
    assert {event["type"] for event in shop.said()} == {
        "payment.authorized.v1", "payment.captured.v1", "payment.declined.v1",
        "payment.refunded.v1", "payment.voided.v1"}


def test_each_event_that_is_heard_has_a_schema_and_is_asked_here_by_it():
    """shop.ask checks what it says; that the order service says no other is in its own tests and,
    with both of them, in test_saga.py."""
    source = (ROOT / "services/payment/main.c").read_text()
    heard = set(re.findall(r'\{"([a-z_.]+\.v1)", payment_on_', source))
    assert heard == set(TYPES.values())
    assert all((ROOT / f"docs/events/{kind}.json").exists() for kind in heard)
