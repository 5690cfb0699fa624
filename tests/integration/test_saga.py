"""The whole way of an order through real services: hub, user, order and payment, and a provider whose
books tell what happened to the money."""

import uuid

import pytest

from support.client import ReplyError
from support.order_service import product
from support.payment_service import (ANSWER_LOST, DECLINED, GOOD, SLOW, TIME_OUT, check_event)
from support.redis_server import RedisServer
from support.service import wait_until
from support.whole_shop import SECONDS, ShopDatabases, WholeShop, in_parallel

CREATED, CONFIRMED, CANCELLED = ("order.created.v1", "order.confirmed.v1", "order.cancelled.v1")
AUTHORIZED, CAPTURED = ("payment.authorized.v1", "payment.captured.v1")
PAID = {"authorize": "done", "capture": "done"}


@pytest.fixture(scope="module")
def shop():
    with (ShopDatabases() as databases, RedisServer() as redis,
          WholeShop(databases, redis) as whole):
        yield whole


@pytest.fixture
def ann(shop):
    return shop.register("ann")


@pytest.fixture
def bob(shop):
    return shop.register("bob")


def buy(live, card=GOOD, name="cup", quantity=1):
    """Order over the socket of `live`; the order as it was then."""
    order = live.client.rpc("orders.v1.create", {
        "lines": [{"product": product(name), "quantity": quantity}], "card": card,
        "idempotency_key": str(uuid.uuid4())}, timeout=SECONDS)["data"]
    assert order["state"] == "pending"
    return order["order"]


def cancel(live, order):
    return live.client.rpc("orders.v1.cancel", {"order": order, "idempotency_key": f"c-{order}"},
                           timeout=SECONDS)["data"]


def ask(live, method, **params):
    return live.client.rpc(method, params, timeout=SECONDS)["data"]


def wait_paid(live, order):
    live.wait("orders", CREATED, CONFIRMED, order=order)
    live.wait("payments", AUTHORIZED, CAPTURED, order=order)


def test_an_order_is_paid_and_its_customer_sees_every_step(shop, ann):
    with ann.listen() as live:
        stock = shop.stock("cup")
        order = buy(live, quantity=2)
        wait_paid(live, order)
        assert shop.stock("cup") == stock - 2
        assert shop.books(order) == PAID
        assert ask(live, "orders.v1.get", order=order)["state"] == "confirmed"
        payment = ask(live, "payments.v1.get", order=order)
        assert payment["state"] == "captured" and payment["card_last4"] == "4242"
        assert payment["amount"] == ask(live, "orders.v1.get", order=order)["total"]


def test_a_declined_card_cancels_the_order_and_frees_the_goods(shop, ann):
    with ann.listen() as live:
        stock = shop.stock("kettle")
        order = buy(live, DECLINED, "kettle")
        live.wait("payments", "payment.declined.v1")
        live.wait("orders", CREATED, CANCELLED)
        last = live.events[f"orders:live#{ann.id}"][-1]["data"]
        assert last["reason"] == "payment_declined"
        assert shop.stock("kettle") == stock
        assert shop.books(order) == {"authorize": "refused"}


@pytest.mark.parametrize("card", [TIME_OUT, ANSWER_LOST])
def test_a_provider_that_does_not_answer_is_asked_again_and_charges_once(shop, ann, card):
    with ann.listen() as live:
        order = buy(live, card)
        wait_paid(live, order)
        assert shop.books(order) == PAID
        assert shop.databases.value("select count(*) from simulated_provider.mishap m join payment p"
                                    f" on p.id = m.payment where p.order_id = '{order}'",
                                    "wirehub_payment") == "1"


def test_cancelled_before_it_is_confirmed_it_is_never_charged(shop, ann):
    with ann.listen() as live:
        stock = shop.stock("scale")
        order = buy(live, SLOW, "scale")
        wait_until(lambda: shop.is_at_provider(order), "nobody asks the provider", SECONDS)
        assert cancel(live, order)["state"] == "cancelled"
        live.wait("orders", CREATED, CANCELLED)
        live.wait("payments", "payment.voided.v1")
        assert shop.stock("scale") == stock
        # The authorization that was under way comes too late.
        wait_until(lambda: shop.books(order) == {"void": "done", "authorize": "refused"},
                   "the slow answer", SECONDS)
        assert ask(live, "orders.v1.get", order=order)["reason"] == "cancelled_by_user"


def test_cancelled_after_it_was_paid_it_is_refunded(shop, ann):
    with ann.listen() as live:
        stock = shop.stock("dripper")
        order = buy(live, name="dripper")
        wait_paid(live, order)
        assert cancel(live, order)["state"] == "cancelled"
        live.wait("orders", CREATED, CONFIRMED, CANCELLED)
        live.wait("payments", AUTHORIZED, CAPTURED, "payment.refunded.v1")
        assert shop.stock("dripper") == stock
        assert shop.books(order) == {**PAID, "refund": "done"}


def test_what_is_gone_cannot_be_ordered_and_nobody_is_asked_for_money(shop, ann):
    shop.set_stock("decaf", 1)
    with ann.listen() as live:
        with pytest.raises(ReplyError) as error:
            buy(live, name="decaf", quantity=2)
        assert error.value.code == 409 and "Decaf" in error.value.message
        wait_paid(live, buy(live, name="decaf"))
        with pytest.raises(ReplyError) as error:
            buy(live, name="decaf")
        assert error.value.code == 409
        assert len(ask(live, "payments.v1.list")["payments"]) == 1
    assert shop.stock("decaf") == 0


def test_others_see_nothing_of_it(shop, ann, bob):
    with ann.listen() as live, bob.listen() as other:
        order = buy(live)
        wait_paid(live, order)
        for method in ("orders.v1.get", "payments.v1.get"):
            with pytest.raises(ReplyError) as error:
                ask(other, method, order=order)
            assert error.value.code == 404
        with pytest.raises(ReplyError) as error:
            cancel(other, order)
        assert error.value.code == 404
        for name in ("orders", "payments"):
            with pytest.raises(ReplyError) as error:
                other.client.subscribe(f"{name}:live#{ann.id}", timeout=SECONDS)
            assert error.value.code == 103
        own = buy(other)
        wait_paid(other, own)  # what of Ann's had come to Bob would have come before this
        seen = [event for name in ("orders", "payments")
                for event in other.events[f"{name}:live#{bob.id}"]]
        assert {event["subject"] for event in seen} == {own}
        assert not any(ann.id in channel for channel in other.events)


def test_of_50_clients_one_gets_the_last_item(shop):
    customers = [shop.register(f"rush-{i}") for i in range(10)]
    shop.set_stock("machine", 1)
    params = {"lines": [{"product": product("machine"), "quantity": 1}], "card": GOOD}
    answers = in_parallel([
        lambda customer=customers[i % 10], key=f"rush-{i}":
        customer.post("orders.v1.create", params, key=key) for i in range(50)])
    assert sorted(status for status, _ in answers) == [200] + [409] * 49
    order = next(answer["order"] for status, answer in answers if status == 200)
    wait_until(lambda: shop.books(order) == PAID, "not paid", SECONDS)
    assert shop.stock("machine") == 0


def test_what_the_services_tell_each_other_is_what_the_schemas_say(shop, ann):
    with ann.listen() as live:
        paid, declined, cancelled = buy(live), buy(live, DECLINED), buy(live, SLOW)
        cancel(live, cancelled)
        wait_paid(live, paid)
        cancel(live, paid)
        live.wait("payments", AUTHORIZED, CAPTURED, "payment.refunded.v1", order=paid)
        live.wait("payments", "payment.declined.v1", order=declined)
        live.wait("payments", "payment.voided.v1", order=cancelled)
    events = shop.events()
    for event in events:
        check_event(event)
    assert {event["type"] for event in events if ann.id in (event["data"].get("user"),
                                                           event["subject"])} == {
        "user.registered.v1", CREATED, CONFIRMED, CANCELLED, "payment.requested.v1",
        "payment.void_requested.v1", "payment.refund_requested.v1", AUTHORIZED, CAPTURED,
        "payment.declined.v1", "payment.voided.v1", "payment.refunded.v1"}
    assert shop.dead_letters() == []
