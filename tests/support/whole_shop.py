"""User, order and payment service with a hub in front, over one Redis and one PostgreSQL in which
tools/postgres.sh made the databases and roles, as for ./dev up.

    with ShopDatabases() as databases, RedisServer() as redis, WholeShop(databases, redis) as shop:
        ann = shop.register("ann")
        with ann.listen() as live:
            order = ann.rpc("orders.v1.create", {...}, key="k1")
            live.wait("orders", "order.created.v1", "order.confirmed.v1")
"""

import contextlib
import json
import subprocess
import tempfile
import threading
import uuid
from pathlib import Path

import redis as redis_client

from support.client import JsonClient
from support.hub import ROOT, Hub
from support.order_service import binary_path as order_binary
from support.order_service import product
from support.payment_service import binary_path as payment_binary
from support.postgres import Postgres
from support.service import Service, wait_until
from support.user_service import SEALING_SECRET

SERVICES = ("user", "order", "payment")
SECONDS = 30.0
PASSWORD = "a pass phrase of the shop tests"


class ShopDatabases(Postgres):
    """A cluster of its own, for roles belong to a cluster."""

    def __init__(self):
        super().__init__(settings={"max_connections": 100})
        self._secrets = tempfile.TemporaryDirectory(prefix="wirehub-secrets-")
        # The one that the script logs in as, with its secret where the script keeps it.
        admin = uuid.uuid4().hex
        (Path(self._secrets.name) / "secret.postgres").write_text(admin)
        self.sql(f"create role wirehub_admin superuser login password '{admin}'")
        self.urls = {name: self._make(name) for name in SERVICES}

    def _make(self, name):
        script = ('. tools/postgres.sh; run_dir=$1 postgres_port=$2; '
                  'postgres_database "$3" && postgres_url "$3"')
        done = subprocess.run(
            ["sh", "-eu", "-c", script, "sh", self._secrets.name, str(self.port), name], cwd=ROOT,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def close(self):
        super().close()
        self._secrets.cleanup()


class Live:
    """What a customer sees: events by channel, in the order in which they came."""

    def __init__(self, client, user):
        self.client = client
        self.user = user
        self.events = {}

    def kinds(self, namespace, order=None):
        return [event["type"] for event in self.events.get(f"{namespace}:live#{self.user}", ())
                if order in (None, event["subject"])]

    def wait(self, namespace, *kinds, order=None):
        """Until exactly these have come, about this order or at all."""
        while len(self.kinds(namespace, order)) < len(kinds):
            self.take(self.client.next_push(timeout=SECONDS))
        assert self.kinds(namespace, order) == list(kinds)

    def take(self, push):
        self.events.setdefault(push["channel"], []).append(push["pub"]["data"])


class Customer:
    def __init__(self, shop, account):
        self.shop = shop
        self.id = account["user"]["id"]
        self.token = shop.hub.keep_secret(account["access_token"])

    @contextlib.contextmanager
    def listen(self):
        """Connected with the token; the server subscribes to the user's own channels."""
        with JsonClient.open(self.shop.hub.ws_url, timeout=SECONDS) as client:
            answer = client.connect(token=self.token, timeout=SECONDS)
            assert set(answer["subs"]) == {f"{name}:live#{self.id}"
                                           for name in ("orders", "payments", "users")}
            yield Live(client, self.id)

    def post(self, method, params, *, key=None):
        """(status, answer) over REST"""
        return self.shop.post(f"/rpc/{method}", params, token=self.token, key=key)


class WholeShop:
    def __init__(self, databases, redis):
        self.databases = databases
        self.redis = redis
        self._stack = contextlib.ExitStack()
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self):
        urls = self.databases.urls
        enter = self._stack.enter_context
        self.user = enter(self._service(
            "user", order_binary().parent / "wirehub-user",
            {"WIREHUB_USER_TOKEN_SEALING_SECRET": SEALING_SECRET},
            {"password.cost": 1, "throttle.peer_burst": 1000}))
        self.order = enter(self._service("order", order_binary(), {}, {}))
        self.payment = enter(self._service(
            "payment", payment_binary(), {"WIREHUB_PAYMENT_PROVIDER_URL": urls["payment"]},
            {"provider.latency": "10ms"}))
        for service in (self.user, self.order, self.payment):
            service.wait_ready()
        self.databases.sql((ROOT / "services/order/seed.sql").read_text(), "wirehub_order")
        live = {"allow_user_limited_channels": True, "history_size": 1000, "history_ttl": "24h",
                "force_recovery": True}
        keys = f"http://127.0.0.1:{self.user.port}/.well-known/jwks.json"
        self.hub = enter(Hub(
            {"client": {"allow_anonymous_connect_without_token": False,
                        "token": {"issuer": "wirehub-user", "jwks_public_endpoint": keys}},
             "channel": {"namespaces": [{"name": name, **live}
                                        for name in ("orders", "payments", "users")]}},
            redis=self.redis))
        self.hub.wait_ready()
        # The hub has to have heard of the methods: the first call may come before.
        wait_until(lambda: all(self._is_known(method) for method in (
            "users.v1.login", "orders.v1.get", "payments.v1.get")), "no services")

    def _service(self, name, binary, env, options):
        return Service(self.redis, binary=binary, options={"testing.journal": None, **options},
                       env={f"WIREHUB_{name.upper()}_DATABASE_URL": self.databases.urls[name],
                            **env})

    def _is_known(self, method):
        return self.post(f"/rpc/{method}", {})[0] not in (404, 503)

    def post(self, path, body, *, token=None, key=None):
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if key:
            headers["Idempotency-Key"] = key
        response = self.hub.http(path, method="POST", data=json.dumps(body).encode(),
                                 headers=headers, timeout=SECONDS)
        return response.status, json.loads(response.body)

    def register(self, name):
        address = f"{name}-{uuid.uuid4().hex}@example.org"
        status, account = self.post("/auth/register", {
            "email": address, "password": self.hub.keep_secret(PASSWORD), "name": name})
        assert status == 200, account
        return Customer(self, account)

    def stock(self, name):
        return int(self.databases.value(
            f"select stock from product where id = '{product(name)}'", "wirehub_order"))

    def set_stock(self, name, stock):
        self.databases.sql(f"update product set stock = {stock} where id = '{product(name)}'",
                           "wirehub_order")

    def books(self, order):
        """What the provider did about an order, whatever we believe: {operation: result}."""
        return dict(self.databases.sql(
            "select operation, result from simulated_provider.operation o join payment p "
            f"on p.id = o.payment where p.order_id = '{order}'", "wirehub_payment"))

    def is_at_provider(self, order):
        return self.databases.sql(f"select 1 from payment where order_id = '{order}' "
                                  "and lease_until is not null", "wirehub_payment") == [["1"]]

    def _streams(self):
        with redis_client.Redis(port=self.redis.port) as client:
            return {name.decode(): [fields for _, fields in client.xrange(name)]
                    for name in client.scan_iter("wh:events:*", _type="stream")}

    def events(self):
        """Everything that the services have told each other."""
        return [json.loads(fields[b"event"]) for name, entries in self._streams().items()
                for fields in entries if not name.startswith("wh:events:dead:")]

    def dead_letters(self):
        return [fields for name, entries in self._streams().items() for fields in entries
                if name.startswith("wh:events:dead:")]

    def close(self):
        self._stack.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def in_parallel(functions):
    """Results of functions that start together; what one raises is raised."""
    results = [None] * len(functions)
    barrier = threading.Barrier(len(functions))

    def run(index):
        barrier.wait()
        try:
            results[index] = functions[index]()
        except Exception as error:  # pylint: disable=broad-except
            results[index] = error

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(functions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        if isinstance(result, Exception):
            raise result
    return results
