#!/usr/bin/python3
"""The service "echo" in Python; docs/REDIS.md, "Serve a method", explains each step."""
import json, logging, os, signal, time
import msgpack, redis


class Refusal(Exception): """Arguments: code (400 to 499 are ours), message."""


def say(params, call):
    if not isinstance(params, dict) or "text" not in params: raise Refusal(400, "text is missing")
    return {"text": params["text"], "by": "python"}


METHODS = {"echo.v1.say": (say, {"access": "anonymous", "idempotent": True}),
           "echo.v1.whoami": (lambda _, call: {"user": call["user"], "by": "python"}, {"access": "user"}),
           "echo.v1.wait": (lambda params, _: time.sleep(params["ms"] / 1000),
                            {"access": "anonymous", "timeout_ms": 300})}


def read(kind, data):  # 2 is MessagePack, 1 JSON; 0 are bytes, in which Protobuf clients send JSON
    try: return (msgpack.unpackb if kind == 2 else json.loads)(data)
    except ValueError: raise Refusal(107, "bad request") from None


def answer(call):
    try:
        if call["method"] not in METHODS: raise Refusal(104, "method not found")
        result = METHODS[call["method"]][0](read(*call.get("params", (1, b"null"))), call)
        return {"id": call["id"], "data": [1, json.dumps(result).encode()]}
    except Refusal as refusal:
        return {"id": call["id"], "error": dict(zip(("code", "message"), refusal.args))}
    except Exception:
        logging.exception("%s failed, trace %s", call["method"], call.get("traceparent"))
        return {"id": call["id"], "error": {"code": 100, "message": "internal server error", "temporary": True}}


def announce():
    methods = [{"name": name, **rules} for name, (_, rules) in METHODS.items()]
    db.hset("wh:rpc:services", "echo", json.dumps({"version": "1.0.0", "methods": methods}))
    db.publish("wh:rpc:services", "echo")
    alive.subscribe("wh:rpc:alive:echo")


db = redis.from_url(os.environ.get("REDIS_URL", "redis://127.0.0.1:6379"))
alive, stops = db.pubsub(), []
signal.signal(signal.SIGTERM, lambda *_: stops.append(time.time()))
while not stops or time.time() < stops[0] + 0.5:  # hubs soon notice; what they sent is served
    try:
        alive.reset() if stops else alive.subscribed or announce()
        while alive.get_message(): pass  # cancels: one call at a time, nothing to cancel
        _, popped = db.execute_command("BLMPOP", 0.2, 1, "wh:rpc:echo", "LEFT", "COUNT", 1) or (0, [])
        for call in map(msgpack.unpackb, popped):
            if time.time() * 1000 < call["deadline_ms"]:  # later nobody waits for the answer
                db.publish(call["reply"], msgpack.packb(answer(call)))
    except redis.RedisError as error:  # away, and perhaps empty when it is back
        logging.warning("redis: %s", error), alive.reset(), time.sleep(0.2)
