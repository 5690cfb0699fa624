#!/usr/bin/python3
"""Calls to a service: the hub's way through Redis against NATS and against bare sockets, in one
session, run by run in turn.

    raw        frames over a Unix socket: nothing is faster
    echo       a round trip to Redis: nothing over Redis is faster
    list       the contract of docs/REDIS.md with a lean caller: Redis without our code
    nats       request/reply over a NATS server with lean callers, queue group
    libnats    the same through its C library with default options; left out when not there
    module     the hub's rpc module, without sessions, to a service on services/core and back
    websocket  the whole way: client, hub, Redis, such a service and back

Each is loaded with 1, 16 and 256 calls in flight and at a fixed rate; every answer is checked. The
services of the others are lean: a loop and nothing else. CPU times are those of all processes
that take part, the caller included. Nothing is pinned: two cores are what all of them share. The
rows go to build/bench/rpc.jsonl, one JSON object a line, ending with the summaries. Compare ratios,
never microseconds of different sessions.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

from run_fanout import BenchError, REPOSITORY, free_port, is_ready, stop, wait_until

RATE = 50000
LOADS = [("1", 1, 0), ("16", 16, 0), ("256", 256, 0), (f"{RATE}/s", 1, RATE)]
TRANSPORTS = ["raw", "echo", "list", "nats", "libnats", "module", "websocket"]
CONNECTIONS = 16  # WebSockets of the whole way, when there is more than that in flight
# what, transport, load, key, of which other transport, at least (or at most)
TARGETS = [
    ("calls/s, 256 in flight", "module", "256", "calls_per_second", "nats", ">=", 2.0),
    ("calls/s, 256 in flight", "module", "256", "calls_per_second", "raw", ">=", 0.5),
    ("calls/s, 16 in flight", "module", "16", "calls_per_second", "nats", ">=", 1.6),
    ("calls/s, 16 in flight", "module", "16", "calls_per_second", "raw", ">=", 0.7),
    ("p50, 1 in flight", "module", "1", "p50_us", "nats", "<=", 0.8),
    ("p50, 1 in flight", "module", "1", "p50_us", "raw", "<=", 1.3),
    (f"CPU, {RATE}/s", "module", f"{RATE}/s", "cpu_us_total", "nats", "<=", 0.6),
    (f"CPU, {RATE}/s", "module", f"{RATE}/s", "cpu_us_total", "raw", "<=", 2.5),
    ("p50, 1 in flight", "websocket", "1", "p50_us", "module", "<=", 2.0),
    ("calls/s, 256 in flight", "websocket", "256", "calls_per_second", None, ">=", 100000),
]


class Bench:
    """The processes of a session, and what is measured with them."""

    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        self.started = []
        self.processes = {}  # transport → {role: process}
        self.addresses = {}

    def program(self, name):
        path = os.path.join(self.options.build, "bin", name)
        if not os.access(path, os.X_OK):
            raise BenchError(f"{name} is not in {self.options.build}/bin; build first: ./dev build")
        return path

    def start(self, command, **options):
        # Lean services print that their caller left; that is no news.
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, **options)
        self.started.append(process)
        return process

    def start_service(self, command):
        process = self.start(command, stdout=subprocess.PIPE, text=True)
        if process.stdout.readline() != "ready\n":
            raise BenchError(f"{' '.join(command)} did not start")
        return process

    def close(self):
        for process in reversed(self.started):
            stop(process)

    def start_raw(self):
        path = os.path.join(self.folder, "raw.sock")
        service = self.start_service([self.program("bench_rpc_service"), "raw", path])
        self.add("raw", path, service=service)

    def start_redis(self):
        path = os.path.join(self.folder, "redis.sock")
        redis = self.start(["redis-server", "--port", "0", "--unixsocket", path, "--save", "",
                            "--appendonly", "no", "--dir", self.folder],
                           stdout=subprocess.DEVNULL)
        wait_until(lambda: os.path.exists(path), redis, "redis-server")
        service = self.start_service([self.program("bench_rpc_service"), "list", path])
        core = self.start_core(path)
        self.add("echo", path, redis=redis)
        self.add("list", path, redis=redis, service=service)
        self.add("module", path, redis=redis, service=core)
        hub, port = self.start_hub(path)
        self.add("websocket", str(port), hub=hub, redis=redis, service=core)

    def start_core(self, redis_path):
        core = self.start([self.program("bench_rpc_core_service"), "serve",
                           "--redis.address", f"unix://{redis_path}", "--http.port", "0",
                           "--workers", str(self.options.workers), "--log.level", "error"],
                          stdout=subprocess.DEVNULL)
        asks = ["redis-cli", "-s", redis_path, "PUBSUB", "NUMSUB", "wh:rpc:alive:core"]
        wait_until(lambda: subprocess.check_output(asks).split()[1] == b"1", core, "the service")
        return core

    def start_hub(self, redis_path):
        port = free_port()
        config = {
            "http_server": {"address": "127.0.0.1", "port": port},
            "client": {"allow_anonymous_connect_without_token": True},
            "engine": {"type": "redis", "redis": {"address": f"unix://{redis_path}"}},
            "rpc": {"connection_inflight_limit": 8192, "service_inflight_limit": 65536},
            "log": {"level": "error"},
            "workers": 1,
        }
        path = os.path.join(self.folder, "wirehub.yaml")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(config, file)
        hub = self.start([self.program("wirehub"), "serve", "--config", path])
        wait_until(lambda: is_ready(port), hub, "the hub")
        return hub, port

    def start_nats(self):
        program = shutil.which("nats-server", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if program is None:
            print("no nats-server: it is left out")
            return
        port = str(free_port())
        log = os.path.join(self.folder, "nats.log")
        nats = self.start([program, "-a", "127.0.0.1", "-p", port, "-l", log])
        wait_until(lambda: os.path.exists(log) and "Server is ready" in read(log), nats,
                   "nats-server")
        service = self.start_service([self.program("bench_rpc_service"), "nats", port])
        self.add("nats", port, nats=nats, service=service)
        if "libnats" not in self.options.transports:
            return
        library = os.path.join(self.options.build, "bin", "bench_rpc_libnats")
        if not os.path.exists(library):
            print("built without libnats: it is left out")
            return
        port = str(free_port())  # a server of its own: one queue group cannot have both services
        log = os.path.join(self.folder, "libnats.log")
        nats = self.start([program, "-a", "127.0.0.1", "-p", port, "-l", log])
        wait_until(lambda: os.path.exists(log) and "Server is ready" in read(log), nats,
                   "nats-server")
        self.add("libnats", port, nats=nats, service=self.start_service([library, "serve", port]))

    def add(self, transport, address, **processes):
        self.addresses[transport] = address
        self.processes[transport] = processes

    def run(self, transport, load):
        _, in_flight, rate = load
        callers = {"module": "bench_rpc_module", "libnats": "bench_rpc_libnats"}
        row_file = os.path.join(self.folder, "row.json")
        many = rate > 0 or in_flight >= CONNECTIONS * 2
        command = [self.program(callers.get(transport, "bench_rpc_caller")),
                   "--transport", transport, "--method", "core.v1.echo", "--address", self.addresses[transport],
                   "--in-flight", str(in_flight), "--rate", str(rate),
                   "--milliseconds", str(self.options.milliseconds),
                   "--size", str(self.options.size), "--json", row_file,
                   "--connections", str(CONNECTIONS if many else 1)]
        for role, process in self.processes[transport].items():
            command += ["--pid", f"{role}={process.pid}"]
        try:
            subprocess.run(command, timeout=self.options.milliseconds / 1000 + 30, check=False)
        except subprocess.TimeoutExpired as error:
            raise BenchError(f"{transport}, {load[0]} in flight: it did not end") from error
        if not os.path.exists(row_file):
            raise BenchError(f"{transport}, {load[0]} in flight: nothing was measured")
        row = json.loads(read(row_file))
        os.remove(row_file)
        return row


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def median(rows, key):
    return statistics.median(row[key] for row in rows) if rows else 0.0


def good(rows, transport, load):
    return [row for row in rows.get((transport, load), []) if row["ok"]]


def is_reached(row):
    """At a fixed rate, a transport that fell behind was measured at another load."""
    return row["rate"] == 0 or row["calls_per_second"] > 0.97 * row["rate"]


def print_rows(rows, options):
    print(f"\nmedians of {options.runs} runs, {options.size} bytes; CPU µs per call")
    print(f"{'transport':<10} {'load':>8} {'calls/s':>9} {'p50 µs':>8} {'p99 µs':>8} {'CPU':>7}  of")
    for load in options.loads:
        for transport in options.transports:
            found = good(rows, transport, load[0])
            failed = len(rows.get((transport, load[0]), [])) - len(found)
            if not found:
                if failed:
                    print(f"{transport:<10} {load[0]:>8} {failed} FAILED")
                continue
            parts = " ".join(
                f"{role} {statistics.median(row['cpu_us'][role] for row in found):.2f}"
                for role in found[0]["cpu_us"])
            note = "" if all(map(is_reached, found)) else "  RATE NOT REACHED"
            note += f"  {failed} FAILED" if failed else ""
            print(f"{transport:<10} {load[0]:>8} {median(found, 'calls_per_second'):>9.0f} "
                  f"{median(found, 'p50_us'):>8.1f} {median(found, 'p99_us'):>8.1f} "
                  f"{median(found, 'cpu_us_total'):>7.2f}  {parts}{note}")


def judge(rows, target):
    """The median of the ratios within each run, and whether it is good enough."""
    what, transport, load, key, other, direction, limit = target
    mine, theirs = rows.get((transport, load), []), rows.get((other, load), [])
    if other is None:
        values = [row[key] for row in mine if row["ok"]]
    else:
        values = [row[key] / reference[key] for row, reference in zip(mine, theirs)
                  if row["ok"] and reference["ok"] and reference[key]]
    if not values:
        return None
    value = statistics.median(values)
    return {"bench": "rpc-target", "what": what, "transport": transport, "against": other,
            "value": round(value, 3), "direction": direction, "limit": limit,
            "met": value >= limit if direction == ">=" else value <= limit}


def print_targets(verdicts):
    print("\nratios within a run, medians")
    for verdict in verdicts:
        against = f" ÷ {verdict['against']}" if verdict["against"] else ""
        print(f"{verdict['what']:<24} {verdict['transport'] + against:<20} "
              f"{verdict['value']:>10.2f}  {verdict['direction']} {verdict['limit']:<8g} "
              f"{'met' if verdict['met'] else 'MISSED'}")


def parse_arguments():
    parser = argparse.ArgumentParser(description="calls to a service, by several transports")
    parser.add_argument("--build", default=os.path.join(REPOSITORY, "build", "release"),
                        help="release build tree (build/release)")
    parser.add_argument("--out", default=os.path.join(REPOSITORY, "build", "bench"),
                        help="folder of rpc.jsonl (build/bench)")
    parser.add_argument("--runs", type=int, default=3, help="of each transport and load (3)")
    parser.add_argument("--milliseconds", type=int, default=2000, help="of a run (2000)")
    parser.add_argument("--size", type=int, default=256, help="payload bytes (256)")
    parser.add_argument("--workers", type=int, default=1, help="threads of the service (1)")
    parser.add_argument("--transports", nargs="+", choices=TRANSPORTS, default=TRANSPORTS)
    parser.add_argument("--loads", nargs="+", choices=[load[0] for load in LOADS])
    parser.add_argument("--smoke", action="store_true",
                        help="short, for a look whether it works; the figures mean nothing")
    options = parser.parse_args()
    options.loads = [load for load in LOADS if not options.loads or load[0] in options.loads]
    if options.smoke:
        options.runs, options.milliseconds = 1, 200
    return options


def measure(options, bench, out):
    rows = {}
    bench.start_raw()
    bench.start_redis()
    if {"nats", "libnats"} & set(options.transports):
        bench.start_nats()
    options.transports = [name for name in options.transports if name in bench.addresses]
    for _ in range(options.runs):
        for load in options.loads:
            for transport in options.transports:
                row = bench.run(transport, load)
                rows.setdefault((transport, load[0]), []).append(row)
                out.write(json.dumps(row) + "\n")
                out.flush()
    return rows


def main():
    options = parse_arguments()
    os.makedirs(options.out, exist_ok=True)
    path = os.path.join(options.out, "rpc.jsonl")
    print(f"load average before: {' '.join(f'{load:.2f}' for load in os.getloadavg())}")
    with tempfile.TemporaryDirectory(prefix="wirehub-bench-") as folder:
        bench = Bench(options, folder)
        try:
            with open(path, "w", encoding="utf-8") as out:
                rows = measure(options, bench, out)
                verdicts = [verdict for target in TARGETS if (verdict := judge(rows, target))]
                for verdict in verdicts:
                    out.write(json.dumps(verdict) + "\n")
        except BenchError as error:
            print(f"bench: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130
        finally:
            bench.close()
    print_rows(rows, options)
    print_targets(verdicts)
    print(f"rows: {path}")
    return 0 if all(row["ok"] for group in rows.values() for row in group) else 1


if __name__ == "__main__":
    sys.exit(main())
