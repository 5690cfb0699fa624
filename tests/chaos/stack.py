"""All of Wirehub on ports of its own, each process to be killed, paused and started again."""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from support.hub import ROOT, is_running
from support.order_service import product
from support.postgres import Postgres
from support.redis_server import RedisServer, free_port

HISTORY_SIZE = 1000  # as the services say in their events
SERVICES = ("user", "order", "payment")
START_SECONDS = 60.0
STOP_SECONDS = 30.0
SEALING_SECRET = "a sealing secret of chaos runs 5d1f"
STOCK = {"espresso": 100000, "filter": 100000, "cup": 300, "machine": 3}

OPTIONS = {
    "user": {"password.cost": 1, "token.access_ttl": "1h", "throttle.peer_burst": 100000,
             "throttle.email_burst": 100000},
    "order": {"saga.payment_timeout": "8s", "saga.settle_timeout": "2s"},
    "payment": {"provider.latency": "10ms", "provider.timeout": "1s", "provider.breaker.open": "1s"},
}


def wait_until(question, what, timeout):
    """Polls until `question()` is true, and returns its answer."""
    deadline = time.monotonic() + timeout
    while not (answer := question()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}, after {timeout:.0f} s")
        time.sleep(0.05)  # between polls of a bounded wait
    return answer


def is_ready(port):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}/readyz", timeout=2) as response:
            return response.status == 200
    except OSError:
        return False


class Program:
    """One of our programs, on one port for all of its lives.  What it says goes to a file."""

    def __init__(self, name, command, log_path, port, env=None):
        self.name = name
        self.command = [str(word) for word in command]
        self.log_path = log_path
        self.port = port
        self.env = {"PATH": os.environ["PATH"], **(env or {})}
        self.process = None
        self.starts = 0

    def start(self, crash_at=None):
        env = {**self.env, **({"WIREHUB_CRASH_AT": crash_at} if crash_at else {})}
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env=env)
        self.starts += 1

    def is_alive(self):
        return self.process is not None and self.process.poll() is None

    def wait_ready(self):
        def question():
            if not self.is_alive():
                raise RuntimeError(f"{self.name} ended with {self.process.returncode}: "
                                   f"{self.log_path.read_text(errors='replace')[-2000:]}")
            return is_ready(self.port)
        wait_until(question, f"{self.name} is not ready", START_SECONDS)

    def send(self, number):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, number)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def terminate(self):
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()


def children(pid):
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[1]) == pid and fields[0] != "Z":
                found.append(int(stat.parent.name))
    return sorted(found)


class Hub(Program):
    def worker_pids(self):
        return children(self.process.pid)

    def kill(self):
        """The supervisor and then, should they not have gone with it, its workers."""
        workers = self.worker_pids()
        super().kill()
        for pid in workers:
            if is_running(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


class Stack:
    """Running and ready from the constructor to close()."""

    def __init__(self, binaries, instances=2):
        self.binaries = Path(binaries)
        self.directory = Path(tempfile.mkdtemp(prefix="wirehub-chaos-"))
        self.stack = contextlib.ExitStack()
        self.programs = {}
        try:
            self._start(instances)
        except BaseException:
            self.close()
            raise

    def _start(self, instances):
        self.redis = self.stack.enter_context(
            RedisServer("--appendonly", "yes", "--appendfsync", "always"))
        self.postgres = self.stack.enter_context(Postgres(
            fsync=True, settings={"full_page_writes": "on", "max_connections": 150,
                                  "autovacuum": "on"}))
        for service in SERVICES:
            self.postgres.sql(f"create role wirehub_{service} login password '{service}-chaos'")
            self.postgres.sql(f"create database wirehub_{service} owner wirehub_{service}")
            for number in range(1, instances + 1):
                program = self._service(service, number)
                self.programs[program.name] = program
        for program in self.programs.values():
            program.start()
        for program in self.programs.values():
            program.wait_ready()
        # Last: it fetches the keys of tokens, and there are none before users are ready.
        self.hub = self.programs["hub"] = self._hub()
        self.hub.start()
        self.hub.wait_ready()
        self.postgres.sql((ROOT / "services/order/seed.sql").read_text(), "wirehub_order")
        for name, stock in STOCK.items():
            self.postgres.sql(f"update product set stock = {stock} where id = '{product(name)}'",
                              "wirehub_order")
        self.initial_stock = {row[0]: int(row[1]) for row in self.postgres.sql(
            "select id, stock from product", "wirehub_order")}

    def _service(self, service, number):
        url = (f"postgresql://wirehub_{service}:{service}-chaos@127.0.0.1:{self.postgres.port}"
               f"/wirehub_{service}")
        prefix = f"WIREHUB_{service.upper()}"
        env = {f"{prefix}_DATABASE_URL": url}
        if service == "user":
            env[f"{prefix}_TOKEN_SEALING_SECRET"] = SEALING_SECRET
        if service == "payment":
            env[f"{prefix}_PROVIDER_URL"] = url
        port = free_port()
        options = {"redis.address": self.redis.address, "http.port": port, "log.format": "logfmt",
                   **OPTIONS[service]}
        name = f"{service}-{number}"
        return Program(name, [self.binaries / f"wirehub-{service}", "serve",
                              *(f"--{key}={value}" for key, value in options.items())],
                       self.directory / f"{name}.log", port, env)

    def _hub(self):
        port = free_port()
        live = {"history_size": HISTORY_SIZE, "history_ttl": "24h", "force_recovery": True,
                "allow_user_limited_channels": True}
        keys = f"http://127.0.0.1:{self.programs['user-1'].port}/.well-known/jwks.json"
        config = {
            "http_server": {"address": "127.0.0.1", "port": port},
            "workers": 2,
            "client": {"allow_anonymous_connect_without_token": True,
                       "recovery_max_publication_limit": HISTORY_SIZE,
                       "token": {"jwks_public_endpoint": keys}},
            "engine": {"type": "redis", "redis": {"address": self.redis.address}},
            "channel": {"namespaces": [
                *({"name": name, **live} for name in ("orders", "payments", "users")),
                {"name": "market", "history_size": 100, "history_ttl": "1h",
                 "force_recovery": True, "allow_subscribe_for_client": True,
                 "allow_subscribe_for_anonymous": True}]},
            "drain": {"spread": "0ms"},
            "log": {"format": "logfmt"},
        }
        path = self.directory / "hub.json"
        path.write_text(json.dumps(config, indent=2))  # JSON is YAML
        return Hub("hub", [self.binaries / "wirehub", "serve", "--config", path],
                   self.directory / "hub.log", port)

    @property
    def address(self):
        return "127.0.0.1", self.hub.port

    @property
    def url(self):
        return f"http://127.0.0.1:{self.hub.port}"

    @property
    def ws_url(self):
        return f"ws://127.0.0.1:{self.hub.port}/connection/websocket"

    def revive(self):
        """Whoever is not alive."""
        for program in self.programs.values():
            if not program.is_alive():
                program.start()

    def dead_letters(self):
        """service -> entries of its stream of dead letters."""
        return {service: int(self.redis.cli("XLEN", f"wh:events:dead:{service}"))
                for service in SERVICES}

    def close(self):
        for program in self.programs.values():
            if program.is_alive():
                program.send(signal.SIGCONT)
                program.kill()
        self.stack.close()
