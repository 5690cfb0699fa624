"""All that surrounds a client under test, and one vocabulary to move it: a server, a fault proxy
before it, and steps as JSON.

    with World("hub", redis) as world:
        world.do({"api": "publish", "channel": "history:a", "data": {"n": 1}})
        world.do({"proxy": "cut"})

Steps, what they return:
    {"api": VERB, …params}          the server API (docs/API.md): its result
    {"proxy": "cut", "how": "rst"}  "fin"; how many connections
    {"proxy": "refuse"|"stall"|"heal"}
    {"proxy": "set", "up": {…}, "down": {…}}           fault_proxy.py has the faults
    {"proxy": "wait_open", "count": N}  {"proxy": "wait_accepted", "count": N}
    {"proxy": "accepted"}           how many connections came, ever
    {"server": "kill"|"restart"}    SIGKILL; on the same port.  Redis goes on
    {"lose": CHANNEL}               its history and position are deleted from Redis: the next
                                    publication begins a new epoch
    {"token": {"sub": "ann", "exp_in": 2, …}}   a signed token; exp_in: seconds from now
    {"about": ""}                   {"server", "encodings", "url", "direct_url"}

Control serves the same over TCP for programs under test, one JSON line each way:
{"result": …} or {"error": "text"}.
"""

import json
import socketserver
import threading
import time

from support.centrifugo import CentrifugoServer
from support.fault_proxy import FaultProxy
from support.sdk_server import HubServer

SERVERS = {"hub": HubServer, "centrifugo": CentrifugoServer}


def lose_stream(redis, channel):
    """Keys of either server that keep a stream: …stream…CHANNEL and …meta…CHANNEL."""
    keys = redis.cli("KEYS", f"*:{channel}").split() + redis.cli("KEYS", f"*.{channel}").split()
    lost = [key for key in keys if b"stream" in key or b"meta" in key]
    assert lost, f"nothing of {channel} in Redis"
    redis.cli("DEL", *lost)


class World:
    """`kind`: of SERVERS.  centrifugo.Unavailable when there is none."""

    def __init__(self, kind, redis, config=None, tls=None):
        self.redis = redis
        self.server = SERVERS[kind](redis, config)
        self.proxy = FaultProxy(self.server.port, tls=tls)

    @property
    def url(self):
        return self.proxy.ws_url if self.proxy.tls is None else self.proxy.wss_url

    def do(self, step):
        verbs = [name for name in step if name in self.STEPS]
        if len(verbs) != 1:
            raise ValueError(f"no step of the world: {step}")
        rest = {key: value for key, value in step.items() if key != verbs[0]}
        return self.STEPS[verbs[0]](self, step[verbs[0]], **rest)

    def _api(self, verb, **params):
        return self.server.api(verb, **params)

    def _proxy(self, verb, **options):
        if verb in ("cut", "refuse", "stall", "heal", "set"):
            return getattr(self.proxy, verb)(**options)
        if verb in ("wait_open", "wait_accepted"):
            return getattr(self.proxy, verb)(options["count"])
        if verb == "accepted":
            return self.proxy.accepted
        raise ValueError(f"no fault {verb}")

    def _server(self, verb):
        {"kill": self.server.kill, "restart": self.server.restart}[verb]()

    def _lose(self, channel):
        lose_stream(self.redis, channel)

    def _token(self, claims):
        claims = dict(claims)
        if "exp_in" in claims:
            claims["exp"] = int(time.time()) + claims.pop("exp_in")
        return self.server.token(claims.pop("sub", None), **claims)

    def _about(self, _):
        return {"server": self.server.name, "encodings": self.server.encodings, "url": self.url,
                "direct_url": self.server.ws_url}

    STEPS = {"api": _api, "proxy": _proxy, "server": _server, "lose": _lose, "token": _token,
             "about": _about}

    def close(self):
        try:
            self.proxy.close()
        finally:
            self.server.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Control:
    """`address` ("127.0.0.1:PORT") goes to the program under test, as WIREHUB_TEST_CONTROL."""

    def __init__(self, world):
        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                for line in self.rfile:
                    try:
                        answer = {"result": world.do(json.loads(line))}
                    except Exception as error:  # it is the program's to judge
                        answer = {"error": f"{type(error).__name__}: {error}"}
                    self.wfile.write(json.dumps(answer).encode() + b"\n")

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
