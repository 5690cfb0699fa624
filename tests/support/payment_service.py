"""wirehub-payment under test with its database, and the order service's side of the streams."""

import datetime
import json
import os
import random
import uuid
from pathlib import Path

import jsonschema
import redis as redis_client

from support.hub import ROOT
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
    """Beside WIREHUB_BIN, else the sanitized build."""
    hub = Path(os.environ.get("WIREHUB_BIN", ROOT / "build/debug/bin/wirehub"))
    return hub.parent / "wirehub-payment"


def check_event(event):
    """Fails unless the data are what docs/events says of this type, and nothing beyond it."""
    schema = json.loads((ROOT / f"docs/events/{event['type']}.json").read_text())
    strict = {**schema, "additionalProperties": False}
    jsonschema.Draft202012Validator(
        strict, format_checker=jsonschema.FormatChecker()).validate(event["data"])


class PaymentService(Service):
    """Ready from the constructor on; `provider__timeout="3s"` is the option provider.timeout."""

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

    def close(self):
        super().close()
        # What nobody may find in a log.
        text = "".join(self.lines)
        assert "4242424242424242" not in text and "4000000000000" not in text


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
        check_event(event)  # we are to speak as the order service does
        self.redis.xadd("wh:events:" + TYPES[what].split(".")[0], {"event": json.dumps(event)})

    def said(self):
        """Every event of the payment service, in order."""
        events = [json.loads(fields[b"event"])
                  for _, fields in self.redis.xrange("wh:events:payment")]
        return [event for event in events if event["source"].endswith("payment")]

    def told(self, order):
        """Kinds of the events about one order that the payment service said, in order."""
        return [event["type"].split(".")[1] for event in self.said() if event["subject"] == order]

    def wait_told(self, order, *kinds):
        wait_until(lambda: self.told(order)[:len(kinds)] == list(kinds),
                   f"not {kinds} but {self.told(order)}", 30)


def books(service, payment):
    """What the provider did, whatever we believe."""
    return dict(service.sql("select operation, result from simulated_provider.operation "
                            f"where payment = '{payment}'"))
