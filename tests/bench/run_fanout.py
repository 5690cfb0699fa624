#!/usr/bin/python3
"""Fan-out benchmark: the hub against a raw-epoll server, in one session, run by run in turn.

What it does, for every case (1,000 and 10,000 subscribers, paced and closed loop): starts a fresh
server, opens the subscribers, publishes through a private Redis, measures, stops the server; first
the reference, then the hub, and again, so that whatever else the machine does meets both alike.
It prints the medians and the ratio hub ÷ reference. Compare ratios, never microseconds of
different sessions.

The server has one core to itself, generator and Redis share the next. The rows go to
build/bench/fanout.jsonl, one JSON object a line, ending with one summary row per case.
"""
import argparse
import json
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CHANNEL = "bench"
SPARE_FILES = 200  # what hub, generator and Redis open beside the subscribers
READY_SECONDS = 15
STOP_SECONDS = 15

# subscribers, messages a second (0 = closed loop), messages; about ten seconds a run at most.
CASES = [
    (1000, 50, 500),
    (1000, 0, 1000),
    (10000, 4, 40),
    (10000, 0, 100),
]
SMOKE_CASES = [(50, 50, 50), (50, 0, 200)]
CPU_TARGET = 1.20  # hub ÷ reference, CPU per delivery and p99, paced


class BenchError(Exception):
    """Something that makes the numbers meaningless; its text is for the person at the terminal."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def pick_cores():
    """One core for the server and one for the generator, or the same when there is only one."""
    cores = sorted(os.sched_getaffinity(0))
    return (cores[0], cores[1]) if len(cores) > 1 else (cores[0], cores[0])


def raise_file_limit(subscribers):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < subscribers + SPARE_FILES:
        raise BenchError(
            f"{subscribers} subscribers need {subscribers + SPARE_FILES} open files, but this "
            f"machine allows {hard}. Raise it (ulimit -Hn, as root) or pass --subscribers with "
            f"at most {max(hard - SPARE_FILES, 0)}."
        )


def spawn(command, core, **options):
    return subprocess.Popen(
        command, preexec_fn=lambda: os.sched_setaffinity(0, {core}), **options
    )


def stop(process):
    """SIGTERM, and SIGKILL for one that does not listen."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_until(question, process, what):
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise BenchError(f"{what} ended with status {process.returncode} while starting")
        if question():
            return
        time.sleep(0.05)
    raise BenchError(f"{what} was not ready within {READY_SECONDS} s")


def answers_ping(port):
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False


def is_ready(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1) as answer:
            return answer.status == 200
    except (OSError, urllib.error.URLError):
        return False


def start_redis(core, folder):
    program = shutil.which("redis-server")
    if program is None:
        raise BenchError("redis-server is not installed (./dev doctor)")
    port = free_port()
    process = spawn(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
         "--dir", folder, "--client-output-buffer-limit", "pubsub 0 0 0"],
        core, stdout=subprocess.DEVNULL,
    )
    wait_until(lambda: answers_ping(port), process, "redis-server")
    return process, port


def start_reference(build, core, redis_port, folder):
    del folder
    process = spawn(
        [os.path.join(build, "bin", "bench_epoll_reference"), str(redis_port), CHANNEL],
        core, stdout=subprocess.PIPE, text=True,
    )
    line = process.stdout.readline()
    if not line.startswith("port "):
        raise BenchError("the reference server did not start")
    return process, int(line.split()[1])


def start_hub(build, core, redis_port, folder):
    """One worker, defaults apart from who may subscribe; pings stay on, as in production."""
    port = free_port()
    config = {
        "http_server": {"address": "127.0.0.1", "port": port},
        "client": {"allow_anonymous_connect_without_token": True},
        "channel": {
            "without_namespace": {
                "allow_subscribe_for_client": True,
                "allow_subscribe_for_anonymous": True,
            }
        },
        "engine": {"type": "redis", "redis": {"address": f"127.0.0.1:{redis_port}"}},
        "log": {"level": "warn"},
        "workers": 1,
    }
    path = os.path.join(folder, "wirehub.yaml")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(config, file)
    process = spawn([os.path.join(build, "bin", "wirehub"), "serve", "--config", path], core)
    wait_until(lambda: is_ready(port), process, "the hub")
    return process, port


STARTERS = {"reference": start_reference, "hub": start_hub}


def run_once(server, case, options, cores, redis_port, folder):
    subscribers, rate, messages = case
    process, port = STARTERS[server](options.build, cores[0], redis_port, folder)
    row_file = os.path.join(folder, "row.json")
    try:
        generator = spawn(
            [os.path.join(options.build, "bin", "bench_load"), "--name", server,
             "--port", str(port), "--redis-port", str(redis_port), "--channel", CHANNEL,
             "--subscribers", str(subscribers), "--messages", str(messages),
             "--rate", str(rate), "--in-flight", str(options.in_flight),
             "--size", str(options.size), "--pid", str(process.pid), "--with-children",
             "--json", row_file, "--no-heading"],
            cores[1],
        )
        try:
            generator.wait(180)
        except subprocess.TimeoutExpired as error:
            generator.kill()
            generator.wait()
            raise BenchError(f"the generator did not end: {server}, {case}") from error
    finally:
        stop(process)
    if not os.path.exists(row_file):
        raise BenchError(f"the generator measured nothing: {server}, {case}")
    with open(row_file, encoding="utf-8") as file:
        row = json.loads(file.read())
    os.remove(row_file)
    return row


def median(rows, *path):
    values = []
    for row in rows:
        for key in path:
            row = row[key]
        values.append(row)
    return statistics.median(values) if values else 0.0


def summarise(rows):
    good = [row for row in rows if row["ok"]]
    return {
        "runs": len(rows),
        "failed_runs": len(rows) - len(good),
        "cpu_us_per_delivery": median(good, "server_cpu_us_per_delivery"),
        "p99_us": median(good, "latency_us", "p99"),
        "deliveries_per_second": median(good, "deliveries_per_second"),
        "connect_cpu_us": median(good, "connect_cpu_us"),
        "rss_bytes_per_connection": median(good, "rss_bytes_per_connection"),
        "generator_cpu_share": median(good, "generator_cpu_share"),
    }


def ratio(hub, reference, key):
    return hub[key] / reference[key] if reference[key] else 0.0


def run_case(case, options, cores, redis_port, folder, out):
    rows = {server: [] for server in options.servers}
    for _ in range(options.runs):
        for server in options.servers:
            row = run_once(server, case, options, cores, redis_port, folder)
            rows[server].append(row)
            out.write(json.dumps(row) + "\n")
            out.flush()
    summary = {
        "bench": "fanout-summary", "subscribers": case[0],
        "mode": "paced" if case[1] else "closed", "rate": case[1],
    }
    for server in options.servers:
        summary[server] = summarise(rows[server])
    if "hub" in rows and "reference" in rows:
        hub, reference = summary["hub"], summary["reference"]
        summary["cpu_ratio"] = round(ratio(hub, reference, "cpu_us_per_delivery"), 3)
        summary["p99_ratio"] = round(ratio(hub, reference, "p99_us"), 3)
    out.write(json.dumps(summary) + "\n")
    return summary


def print_summary(summaries):
    print(f"\nmedians; target: paced ratios of at most {CPU_TARGET:.2f}")
    print(f"{'subs':>6} {'mode':<7} {'server':<10} {'µs/del':>7} {'p99 µs':>9} {'del/s':>9} "
          f"{'conn µs':>8} {'B/conn':>7} {'gen CPU':>8}")
    for summary in summaries:
        for server in ("reference", "hub"):
            if server not in summary:
                continue
            line = summary[server]
            failed = f"  {line['failed_runs']} FAILED" if line["failed_runs"] else ""
            print(f"{summary['subscribers']:>6} {summary['mode']:<7} {server:<10} "
                  f"{line['cpu_us_per_delivery']:>7.2f} {line['p99_us']:>9.0f} "
                  f"{line['deliveries_per_second']:>9.0f} {line['connect_cpu_us']:>8.1f} "
                  f"{line['rss_bytes_per_connection']:>7.0f} "
                  f"{line['generator_cpu_share']:>8.0%}{failed}")
        if "cpu_ratio" in summary:
            print(f"{summary['subscribers']:>6} {summary['mode']:<7} hub ÷ ref. "
                  f"{summary['cpu_ratio']:>6.2f} {summary['p99_ratio']:>9.2f}")


def parse_arguments():
    parser = argparse.ArgumentParser(description="hub against a raw-epoll reference, fan-out")
    parser.add_argument("--build", default=os.path.join(REPOSITORY, "build", "release"),
                        help="release build tree (build/release)")
    parser.add_argument("--out", default=os.path.join(REPOSITORY, "build", "bench"),
                        help="folder of fanout.jsonl (build/bench)")
    parser.add_argument("--runs", type=int, default=3, help="of each server and case (3)")
    parser.add_argument("--size", type=int, default=128, help="payload bytes (128)")
    parser.add_argument("--in-flight", type=int, default=4, help="of the closed loop (4)")
    parser.add_argument("--subscribers", type=int, help="only the cases with at most so many")
    parser.add_argument("--servers", nargs="+", choices=sorted(STARTERS),
                        default=["reference", "hub"])
    parser.add_argument("--smoke", action="store_true",
                        help="50 subscribers, for a look whether it works; the figures mean nothing")
    options = parser.parse_args()
    options.cases = SMOKE_CASES if options.smoke else [
        case for case in CASES
        if options.subscribers is None or case[0] <= options.subscribers
    ]
    if not options.cases:
        parser.error("no case has so few subscribers; try --smoke")
    return options


def check_programs(options):
    needed = ["bench_load"]
    needed += ["bench_epoll_reference"] if "reference" in options.servers else []
    needed += ["wirehub"] if "hub" in options.servers else []
    for name in needed:
        if not os.access(os.path.join(options.build, "bin", name), os.X_OK):
            raise BenchError(f"{name} is not in {options.build}/bin; build first: ./dev build")


def main():
    options = parse_arguments()
    summaries = []
    try:
        check_programs(options)
        raise_file_limit(max(case[0] for case in options.cases))
        cores = pick_cores()
        if cores[0] == cores[1]:
            print("one core only: server and generator share it, latencies mean nothing")
        os.makedirs(options.out, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="wirehub-bench-") as folder:
            redis, redis_port = start_redis(cores[1], folder)
            try:
                path = os.path.join(options.out, "fanout.jsonl")
                with open(path, "w", encoding="utf-8") as out:
                    for case in options.cases:
                        summaries.append(
                            run_case(case, options, cores, redis_port, folder, out))
            finally:
                stop(redis)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print_summary(summaries)
    print(f"rows: {path}")
    failed = any(summary[server]["failed_runs"] for summary in summaries
                 for server in options.servers)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
