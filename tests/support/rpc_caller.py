"""Calls from many threads at once, as support/service.py makes them one after the other.

    with Calls(redis) as call:
        order = call("orders.v1.create", {...}, user="ann", key="k1")
        with pytest.raises(CallError) as error: ...
        futures = [call.start("orders.v1.get", {...}, user="ann") for _ in range(50)]
"""

import itertools
import json
import threading
import time
import uuid
from concurrent.futures import Future

import msgpack
import redis as redis_client

JSON_KIND = 1
MSGPACK_KIND = 2


class CallError(Exception):
    def __init__(self, code, message, temporary):
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message
        self.temporary = temporary


def unpack_payload(payload):
    kind, data = payload
    return json.loads(data) if kind == JSON_KIND else msgpack.unpackb(data)


class Calls:
    """From any thread; one thread of its own takes the answers."""

    def __init__(self, redis, timeout=20.0):
        self.redis = redis_client.Redis(port=redis.port)
        self.timeout = timeout
        self.reply_channel = f"wh:rpc:reply:{uuid.uuid4()}"
        self._ids = itertools.count(1)
        self._pending = {}
        self._subscription = self.redis.pubsub()
        self._subscription.subscribe(self.reply_channel)
        assert self._subscription.get_message(timeout=5.0)["type"] == "subscribe"
        self._is_closed = False
        self._thread = threading.Thread(target=self._take_answers, daemon=True)
        self._thread.start()

    def _take_answers(self):
        while not self._is_closed:
            message = self._subscription.get_message(timeout=0.1)
            if message is None or message["type"] != "message":
                continue
            unpacker = msgpack.Unpacker(raw=False)
            unpacker.feed(message["data"])
            for answer in unpacker:
                future = self._pending.pop(answer["id"], None)
                if future is None:
                    continue
                error = answer.get("error")
                if error:
                    future.set_exception(CallError(error["code"], error.get("message", ""),
                                                   error.get("temporary", False)))
                else:
                    future.set_result(unpack_payload(answer["data"]))

    def start(self, method, params=None, *, user="", key="", roles=(), as_msgpack=False):
        """The Future of the answer."""
        now_ms = int(time.time() * 1000)
        call_id = next(self._ids)
        future = Future()
        self._pending[call_id] = future
        if as_msgpack:
            payload = [MSGPACK_KIND, msgpack.packb(params or {})]
        else:
            payload = [JSON_KIND, json.dumps(params or {}).encode()]
        call = {"v": 1, "id": call_id, "method": method, "params": payload, "user": user,
                "client": "", "roles": list(roles), "peer": "127.0.0.1", "key": key,
                "sent_ms": now_ms, "deadline_ms": now_ms + int(self.timeout * 1000),
                "reply": self.reply_channel}
        self.redis.rpush(f"wh:rpc:{method.split('.')[0]}", msgpack.packb(call))
        return future

    def __call__(self, method, params=None, **options):
        return self.start(method, params, **options).result(timeout=self.timeout)

    def close(self):
        self._is_closed = True
        self._thread.join()
        self._subscription.close()
        self.redis.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
