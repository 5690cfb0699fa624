"""One order is one trace: hub, order, payment, their statements, and the log of the database."""

import json
import uuid
from pathlib import Path

import pytest

from support.client import JsonClient
from support.collector import Collector, attributes
from support.hub import binary_path
from support.order_service import OrderService, product
from support.postgres import Postgres
from support.service import Service, wait_until

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PAGE = "00f067aa0ba902b7"
CARD = "4242424242424242"
WAIT_SECONDS = 60.0
SAGA = ["payment.requested.v1", "payment.authorized.v1", "order.confirmed.v1",
        "payment.captured.v1"]


class Shop:
    """Hub, order and payment, all traced, over one Redis and one PostgreSQL that logs statements."""

    def __init__(self, redis, make_hub):
        self.parts = []
        try:
            self.collector = self.opened(Collector())
            self.postgres = self.opened(Postgres(settings={"log_statement": "all"}))
            options = {"opentelemetry.enabled": "true", "opentelemetry.sample_ratio": "0",
                       "opentelemetry.endpoint": self.collector.url, "log.level": "debug"}
            self.postgres.create("orders")
            self.postgres.create("payments")
            self.payment = self.opened(Service(
                redis, binary=Path(binary_path()).with_name("wirehub-payment"),
                options={"testing.journal": None, "provider.latency": "0", **options},
                env={"WIREHUB_PAYMENT_DATABASE_URL": self.postgres.url("payments"),
                     "WIREHUB_PAYMENT_PROVIDER_URL": self.postgres.url("payments")}))
            self.order = self.opened(OrderService(
                redis, self.postgres, "orders", {"saga.payment_timeout": "1h", **options}))
            self.payment.wait_ready()
            self.hub = make_hub(
                {"opentelemetry": {"enabled": True, "endpoint": self.collector.url,
                                   "sample_ratio": "0"},
                 "channel": {"namespaces": [{"name": "orders", "allow_user_limited_channels": True,
                                             "allow_subscribe_for_client": True}]},
                 "log": {"level": "debug"}}, redis=redis)
            wait_until(lambda: self.rest("products.v1.list", {}).status == 200, "no products")
        except BaseException:
            self.close()
            raise

    def opened(self, part):
        self.parts.append(part)
        return part.__enter__()

    def close(self):
        for part in reversed(self.parts):
            part.__exit__(None, None, None)

    def rest(self, method, params, **headers):
        return self.hub.http(
            f"/rpc/{method}", method="POST", data=json.dumps(params).encode(), timeout=20,
            headers={"Content-Type": "application/json",
                     "Authorization": f"Bearer {self.hub.token('ann')}",
                     **{name.replace("_", "-"): value for name, value in headers.items()}})

    def database_log(self):
        return self.postgres.log_path.read_text(errors="replace")

    def spans(self, **members):
        return [span for span in self.collector.spans
                if all(span.get(name) == value for name, value in members.items())]


@pytest.fixture
def shop(redis, make_hub):
    one = Shop(redis, make_hub)
    yield one
    one.close()


def basket():
    return {"lines": [{"product": product("espresso"), "quantity": 1}], "card": CARD}


def service_of(span):
    return span["resource"]["service.name"]


def event_type(span):
    return attributes(span).get("wirehub.event.type")


def wait_named(part, events):
    """Until there is a line of each of these events under the trace."""
    def are_there():
        return {record["event"] for record in list(part.records)
                if record.get("trace_id") == TRACE}.issuperset(events)

    wait_until(are_there, f"no lines {events} with the trace")


def test_an_order_is_one_trace_from_the_request_to_the_captured_payment(shop):
    answer = shop.rest("orders.v1.create", basket(), Idempotency_Key=str(uuid.uuid4()),
                       traceparent=f"00-{TRACE}-{PAGE}-01")
    assert answer.status == 200, answer.body

    def wait(service, name, parent, **of_event):
        def find(collector):
            return next((span for span in collector.spans if span["name"] == name
                         and (span["traceId"], span["parentSpanId"]) == (TRACE, parent)
                         and service_of(span) == service
                         and of_event.items() <= {"type": event_type(span)}.items()), None)
        return shop.collector.wait(find, f"{name} of {service} below {parent}", WAIT_SECONDS)

    rest = wait("wirehub", "rest orders.v1.create", PAGE)
    assert answer.headers["traceresponse"] == f"00-{TRACE}-{rest['spanId']}-01"
    call = wait("wirehub", "rpc orders.v1.create", rest["spanId"])
    create = wait("wirehub-order", "orders.v1.create", call["spanId"])

    # The saga: an event is handled under whoever emitted it, a job under the event that asked.
    requested = wait("wirehub-payment", "event payment.requested.v1", create["spanId"])
    authorize = wait("wirehub-payment", "payment.settle", requested["spanId"])
    authorized = wait("wirehub-order", "event payment.authorized.v1", authorize["spanId"])
    confirmed = wait("wirehub-payment", "event order.confirmed.v1", authorized["spanId"])
    capture = wait("wirehub-payment", "payment.settle", confirmed["spanId"])
    wait("wirehub-order", "event payment.captured.v1", capture["spanId"])
    for event, emitter in zip(SAGA, (create, authorize, authorized, capture)):
        wait(service_of(emitter), "outbox.relay", emitter["spanId"], type=event)

    # Statements, without what they were given, and the server's word for each.
    for owner in (create, requested, authorize, authorized):
        texts = [attributes(span)["db.statement"] for span in
                 shop.spans(name="sql", parentSpanId=owner["spanId"])]
        assert texts[0] == "begin" and texts[-1] == "commit", texts
        is_teller = any(text.startswith("insert into outbox") for text in texts)
        assert is_teller == (owner is not requested), texts
    log = shop.database_log()
    statements = shop.spans(name="sql", traceId=TRACE)
    missing = [attributes(span) for span in statements
               if f"/*traceparent='00-{TRACE}-{span['spanId']}-01'*/" not in log]
    assert len(statements) > 20 and not missing
    assert CARD not in json.dumps(shop.collector.spans)

    # All of it is in one trace, and in the lines of everybody who took part.
    assert not [span for span in shop.collector.spans if span["traceId"] != TRACE]
    for part, events in ((shop.hub, ["answered"]),
                         (shop.order, ["answered", "sent", "event_handled"]),
                         (shop.payment, ["event_handled", "provider_answered", "sent"])):
        wait_named(part, events)


def test_who_orders_over_the_socket_finds_the_trace_of_its_command_in_its_events(shop):
    page = f"00-{TRACE}-{PAGE}-01"
    with JsonClient.open(shop.hub.ws_url) as client:
        client.connect(token=shop.hub.token("ann"), headers={"traceparent": page})
        client.subscribe("orders:live#ann")
        client.rpc("orders.v1.create", {**basket(), "idempotency_key": str(uuid.uuid4())})
        told = [client.next_publication("orders:live#ann", timeout=WAIT_SECONDS)["data"]
                for _ in range(2)]
    assert [event["type"] for event in told] == ["order.created.v1", "order.confirmed.v1"]
    create = shop.collector.wait_span("orders.v1.create", WAIT_SECONDS)
    command = shop.collector.wait_span("ws.command rpc", traceId=create["traceId"])
    assert command["links"] == [{"traceId": TRACE, "spanId": PAGE}]
    assert told[0]["traceparent"] == f"00-{create['traceId']}-{create['spanId']}-01"
    assert told[1]["traceparent"].split("-")[1] == create["traceId"]


def test_what_is_not_sampled_is_in_no_statement_and_in_every_log(shop):
    answer = shop.rest("orders.v1.create", basket(), Idempotency_Key=str(uuid.uuid4()),
                       traceparent=f"00-{TRACE}-{PAGE}-00")
    assert answer.headers["traceresponse"].startswith(f"00-{TRACE}-")
    wait_named(shop.hub, ["answered"])
    wait_named(shop.order, ["answered", "sent"])
    wait_until(lambda: [r for r in list(shop.order.records) if r["event"] == "event_handled" and
                        r["type"] == "payment.captured.v1" and r["trace_id"] == TRACE],
               "the payment is not captured", WAIT_SECONDS)
    assert not shop.collector.spans
    assert "/*traceparent=" not in shop.database_log()
