"""The payment service as the order service sees it: hears requests on the streams, answers on
them.  The card decides: GOOD is paid at once, DECLINED is not, SILENT is never answered by itself
(the test answers with `send` when it wants to).
"""

import datetime
import json
import threading
import time
import uuid

import redis as redis_client

GOOD = "4242424242424242"
DECLINED = "4000000000000002"
SILENT = "4000000000000408"

STREAMS = ("wh:events:order", "wh:events:payment", "wh:events:market")
SECONDS = 20.0


class FakePayment:
    """`events` has everything that was said on the streams by anybody, in order."""

    def __init__(self, redis):
        self.redis = redis_client.Redis(port=redis.port)
        self.events = []
        self.payments = {}  # id → state
        self._requests = {}  # id → data of payment.requested.v1
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        at = {stream: "0" for stream in STREAMS}
        while not self._is_closed:
            for stream, entries in self.redis.xread(at, count=100, block=50) or []:
                at[stream.decode()] = entries[-1][0]
                for _, fields in entries:
                    self._take(json.loads(fields[b"event"]))

    def _take(self, event):
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()
        handler = {"payment.requested.v1": self._on_requested,
                   "order.confirmed.v1": self._on_confirmed,
                   "payment.void_requested.v1": self._on_void,
                   "payment.refund_requested.v1": self._on_refund}.get(event["type"])
        if handler:
            handler(event["data"])

    def _answer(self, kind, data):
        self.payments[data["payment"]] = kind
        self.send(kind, data)

    def _on_requested(self, data):
        self._requests[data["payment"]] = data
        if data["payment"] in self.payments or data["card"] == SILENT:
            return
        self._answer("declined" if data["card"] == DECLINED else "authorized", data)

    def _on_confirmed(self, data):
        if self.payments.get(data["payment"]) in ("authorized", "captured"):
            self._answer("captured", {**data, "amount": data["total"]})

    def _on_void(self, data):
        if self.payments.get(data["payment"]) != "silent":
            self._answer("voided", data)

    def _on_refund(self, data):
        self._answer("refunded", data)

    def send(self, kind, data, *, event_id=None, **changes):
        """payment.<kind>.v1 about the payment in `data`; `changes` replace members."""
        members = {"payment": data["payment"], "order": data["order"], "user": data["user"],
                   "amount": data.get("amount") or {"amount_minor": 0, "currency": "EUR"}}
        event = {"specversion": "1.0", "id": event_id or str(uuid.uuid4()),
                 "source": "/test/payment", "type": f"payment.{kind}.v1",
                 "subject": members["order"], "datacontenttype": "application/json",
                 "time": datetime.datetime.now(datetime.timezone.utc).isoformat(),
                 "data": {**members, **changes}}
        self.redis.xadd("wh:events:payment", {"event": json.dumps(event)})
        return event["id"]

    def of(self, order, kind=None):
        """Events about the order so far."""
        with self._changed:
            return [event for event in self.events if event["subject"] == order
                    and (kind is None or event["type"] == kind)]

    def wait(self, order, kind, count=1):
        """Until there are `count` events of this type about the order; the last one's data."""
        deadline = time.monotonic() + SECONDS
        with self._changed:
            while True:
                found = [event for event in self.events
                         if event["subject"] == order and event["type"] == kind]
                if len(found) >= count:
                    return found[count - 1]["data"]
                left = deadline - time.monotonic()
                assert left > 0, f"{kind} of {order} did not come: {self.events[-20:]}"
                self._changed.wait(left)

    def close(self):
        self._is_closed = True
        self._thread.join()
        self.redis.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
