"""The two servers that a client has to work against, with one face: our hub, and (centrifugo.py) an
unmodified Centrifugo.  Same namespaces, same secret, same methods to call, same server API.

    with HubServer(redis) as server:
        server.publish("history:news", {"n": 1})
        server.disconnect("ann", code=4000, reason="bye")
        server.kill()
        server.restart()                 # the same port; what Redis has is still there

Methods (`METHODS`): suite.v1.echo answers its data; suite.v1.fail answers the error in its data
{"code", "message", "temporary"}; suite.v1.slow answers its data {"seconds": s, …} after s seconds.
Codes that both servers let a method answer: 400 to 499.
"""

import json
import os
import signal
import time
import urllib.error
import urllib.request

from support import tokens
from support.hub import HMAC_SECRET, Hub, merge
from support.rpc_service import RpcError, RpcService, json_payload, value_of

API_KEY = "a key of the server API that only the tests know 81d3"
SERVICE = "suite"
SLOW_SECONDS_MAX = 10

ANYBODY = {"allow_subscribe_for_client": True, "allow_subscribe_for_anonymous": True,
           "allow_publish_for_client": True, "allow_publish_for_anonymous": True,
           "allow_history_for_client": True, "allow_history_for_anonymous": True,
           "allow_presence_for_client": True, "allow_presence_for_anonymous": True}
HISTORY = {"history_size": 1000, "history_ttl": "300s"}

# What is for both.  Each namespace is for one feature; everybody may do everything that is on.
CONFIG = {
    "http_server": {"address": "127.0.0.1"},
    "http_api": {"key": API_KEY},
    "client": {
        "allow_anonymous_connect_without_token": True,
        "token": {"hmac_secret_key": HMAC_SECRET},
        "ping_interval": "25s",
        "pong_timeout": "8s",
        "expired_close_delay": "5s",
        "expired_sub_close_delay": "5s",
        "presence_update_interval": "1s",
        "channel_position_check_delay": "1s",
    },
    "channel": {
        "without_namespace": ANYBODY,
        "namespaces": [
            {"name": "plain", **ANYBODY},
            {"name": "history", **ANYBODY, **HISTORY, "force_recovery": True},
            {"name": "asked", **ANYBODY, **HISTORY, "allow_recovery": True,
             "allow_positioning": True},
            {"name": "short", **ANYBODY, "history_size": 3, "history_ttl": "300s",
             "force_recovery": True},
            {"name": "cache", **ANYBODY, **HISTORY, "force_recovery": True,
             "force_recovery_mode": "cache"},
            {"name": "presence", **ANYBODY, "presence": True, "join_leave": True},
            {"name": "joins", **ANYBODY, "presence": True, "join_leave": True,
             "force_push_join_leave": True},
            {"name": "delta", **ANYBODY, **HISTORY, "force_recovery": True,
             "allowed_delta_types": ["fossil"]},
            {"name": "tags", **ANYBODY, "allow_tags_filter": True},
            {"name": "limited", "allow_user_limited_channels": True},
            {"name": "closed"},
        ],
    },
}


class ApiError(Exception):
    def __init__(self, code, message):
        super().__init__(f"{code} {message}")
        self.code = code


class MethodError(Exception):
    def __init__(self, code, message, temporary):
        super().__init__(code, message)
        self.code, self.message, self.temporary = code, message, temporary


# Methods take and return what JSON can say.

def _fail(data):
    raise MethodError(data["code"], data.get("message", "told to fail"),
                      data.get("temporary", False))


def _slow(data):
    time.sleep(min(data["seconds"], SLOW_SECONDS_MAX))  # the work that this method does
    return data


METHODS = {f"{SERVICE}.v1.echo": lambda data: data, f"{SERVICE}.v1.fail": _fail,
           f"{SERVICE}.v1.slow": _slow}


def _handler(method):
    def handle(call):
        if method.endswith(".echo"):
            return call.get("params")  # bytes too, unchanged
        try:
            return json_payload(METHODS[method](value_of(call.get("params"))))
        except MethodError as error:
            raise RpcError(error.code, error.message, error.temporary) from None

    return handle


class SdkServer:
    """What both have.  Subclasses say `name`, `encodings`, `port`, and how to start and end."""

    name = ""
    encodings = ()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self):
        return f"ws://127.0.0.1:{self.port}/connection/websocket"

    # Tokens.  Claims of None are left out.

    def token(self, user, **claims):
        return self._sign({"sub": user, **claims})

    def channel_token(self, user, channel, **claims):
        return self._sign({"sub": user, "channel": channel, **claims})

    @staticmethod
    def _sign(claims):
        return tokens.make({k: v for k, v in claims.items() if v is not None}, HMAC_SECRET)

    # The server API

    def api(self, verb, /, timeout=10.0, **params):
        """The `result`; ApiError when it is an error."""
        request = urllib.request.Request(
            f"{self.url}/api/{verb}", data=json.dumps(params).encode(), method="POST",
            headers={"X-API-Key": API_KEY, "Content-Type": "application/json"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=timeout) as reply:
            answer = json.load(reply)
        if "error" in answer:
            raise ApiError(answer["error"]["code"], answer["error"]["message"])
        return answer["result"]

    def publish(self, channel, data, **options):
        return self.api("publish", channel=channel, data=data, **options)

    def disconnect(self, user, code=None, reason="", **options):
        """Without `code` with the server's own, 3503."""
        if code is not None:
            options["disconnect"] = {"code": code, "reason": reason}
        return self.api("disconnect", user=user, **options)

    def subscribe(self, user, channel, **options):
        return self.api("subscribe", user=user, channel=channel, **options)

    def unsubscribe(self, user, channel):
        return self.api("unsubscribe", user=user, channel=channel)

    def wait_api(self, timeout=15.0):
        """Until the server answers."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                return self.api("info", timeout=2.0)
            except (OSError, ValueError) as error:
                self.check_alive()
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{self.name} does not answer: {error}") from None
            time.sleep(0.02)  # between polls of a bounded wait

    # Faults.  Redis is not the server's: it goes on.

    def kill(self):
        """SIGKILL: gone at once."""
        raise NotImplementedError

    def restart(self):
        """Started again on the same port and ready; killed before if it still runs.  Until our hub
        has forgotten the node that was killed (7 s) disconnect, subscribe and unsubscribe of its
        API answer 100; publish does not."""
        raise NotImplementedError

    def check_alive(self):
        raise NotImplementedError

    def close(self):
        raise NotImplementedError

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class HubServer(SdkServer):
    """`config` is merged over CONFIG.  Its methods are served by a service on the same Redis, unless
    `with_methods` is false: the service does not live through a restart of Redis."""

    name = "hub"
    encodings = ("json", "protobuf", "msgpack")

    def __init__(self, redis, config=None, with_methods=True):
        self.redis = redis
        own = {"workers": 1, "drain": {"spread": "0ms"}, "log": {"level": "info", "format": "json"},
               "rpc": {"timeout": "15s"}}
        self.config = merge(merge(CONFIG, own), config or {})
        self.hub = None
        self.service = None
        self.port = 0
        try:
            self._start()
            if with_methods:
                self.service = RpcService(redis, SERVICE,
                                          {name: _handler(name) for name in METHODS},
                                          threads=8).start()
                self._wait_methods()
        except BaseException:
            self.close()
            raise

    def _start(self):
        config = merge(self.config, {"http_server": {"port": self.port}})
        self.hub = Hub(config, redis=self.redis, defaults=False)
        self.port = self.hub.port
        self.hub.wait_ready()

    def _wait_methods(self):
        deadline = time.monotonic() + 10
        while True:
            try:
                return self.api("rpc", method=f"{SERVICE}.v1.echo", params={})
            except ApiError as error:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"the methods are not there: {error}") from None
            time.sleep(0.02)  # between polls of a bounded wait

    def kill(self):
        """The supervisor first, so that it replaces nobody."""
        if self.hub is None:
            return
        workers = self.hub.worker_pids
        self.hub.expected_exit = None
        self.hub.send_signal(signal.SIGKILL)
        for pid in workers:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # it ended with its supervisor
        hub, self.hub = self.hub, None
        hub.wait_exit()
        hub.close()

    def restart(self):
        self.kill()
        self._start()
        if self.service is not None:
            self._wait_methods()

    def check_alive(self):
        assert self.hub is not None and self.hub.process.poll() is None, "the hub ended"

    def close(self):
        if self.service is not None:
            self.service.close()
        if self.hub is not None:
            self.hub.close()
