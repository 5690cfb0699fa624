#!/usr/bin/python3
"""The C client against the official JavaScript and Go ones: publications received per second, CPU per
message, memory per client.

Receiving: a source that is faster than any client streams the same bytes to each, one after the
other and round by round, so that whatever else the machine does meets all alike. Source and client
have a core each; clients may use both when they have threads. Medians and ratios are printed; only
ratios of one run mean anything. Memory: 1,000 clients in one process, connected to a real hub.

The rows go to build/bench/sdk.jsonl.
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
import urllib.request

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.path.join(REPOSITORY, "build/release/bin")
GO = os.path.join(REPOSITORY, "build/conformance-go/bench")
TARGET = 2.0  # × the better of the official clients
RUN_SECONDS_MAX = 180
# payload bytes, messages in a frame: what a busy hub packs, and one at a time.
CASES = [(64, 16), (64, 1), (1024, 16)]


class BenchError(Exception):
    """Something that makes the numbers meaningless; its text is for the person at the terminal."""


def receivers(encoding):
    """name → command, URL and count of messages left out."""
    found = {
        "wirehub threaded": lambda url, count: [
            f"{BIN}/bench_sdk_receiver", "receive", url, encoding, "threaded", str(count)],
        "wirehub loop": lambda url, count: [
            f"{BIN}/bench_sdk_receiver", "receive", url, encoding, "loop", str(count)],
    }
    if shutil.which("node"):
        found["centrifuge-js"] = lambda url, count: [
            "node", f"{REPOSITORY}/tests/bench/sdk_receiver.mjs", "receive", url, encoding, str(count)]
    if os.path.exists(GO):
        found["centrifuge-go"] = lambda url, count: [GO, "receive", url, encoding, str(count)]
    return found


def build_go():
    """False, with a line that says why, where the Go client cannot be had."""
    if not shutil.which("go"):
        print("centrifuge-go is left out: go is not installed", file=sys.stderr)
        return False
    built = subprocess.run(
        ["go", "build", "-buildvcs=false", "-o", GO, "./bench"],
        cwd=os.path.join(REPOSITORY, "tests/conformance/go"),
        env={**os.environ, "GOTOOLCHAIN": "local", "GOWORK": "off"},
        capture_output=True, text=True, timeout=300, check=False)
    if built.returncode:
        print(f"centrifuge-go is left out: {built.stderr.strip()}", file=sys.stderr)
    return built.returncode == 0


def run_json(command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_SECONDS_MAX, check=False)
    if done.returncode:
        raise BenchError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def measure(name, command, size, per_frame, messages):
    source = subprocess.Popen([f"{BIN}/bench_sdk_source", str(messages), str(size), str(per_frame)],
                              stdout=subprocess.PIPE, text=True)
    try:
        port = int(source.stdout.readline())
        result = run_json(command(f"ws://127.0.0.1:{port}/connection/websocket", messages))
    finally:
        source.kill()
        source.wait()
    if result["wrong"] or result["messages"] != messages:
        raise BenchError(f"{name} lost or reordered messages: {result}")
    return {"client": name, "rate": messages / result["seconds"],
            "cpu_ns": result["cpu_seconds"] / messages * 1e9}


def receive_case(encoding, size, per_frame, options, rows):
    results = {}
    for _ in range(options.runs):
        for name, command in receivers(encoding).items():
            result = measure(name, command, size, per_frame, options.messages // per_frame * per_frame)
            results.setdefault(name, []).append(result)
    print(f"\n{encoding}, {size} bytes, {per_frame} in a frame"
          f"{'':12}{'messages/s':>14}{'CPU ns/message':>18}")
    medians = {}
    for name, runs in results.items():
        medians[name] = {key: statistics.median(run[key] for run in runs) for key in ("rate", "cpu_ns")}
        print(f"  {name:<38}{medians[name]['rate']:>14,.0f}{medians[name]['cpu_ns']:>18,.0f}")
    row = {"case": f"{encoding}/{size}/{per_frame}", "medians": medians}
    others = [value for name, value in medians.items() if name.startswith("centrifuge")]
    if others:
        for name in ("wirehub threaded", "wirehub loop"):
            rate = medians[name]["rate"] / max(other["rate"] for other in others)
            cpu = min(other["cpu_ns"] for other in others) / medians[name]["cpu_ns"]
            verdict = "met" if rate >= TARGET and cpu >= TARGET else "missed"
            print(f"  {name}: {rate:.2f} × the rate and 1/{cpu:.2f} of the CPU of the better one"
                  f" (target {TARGET} ×: {verdict})")
            row[name] = {"rate_ratio": rate, "cpu_ratio": cpu}
    rows.append(row)


def hold_clients(command, count):
    process = subprocess.Popen([*command, str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        if not line:
            raise BenchError(f"{' '.join(command)} could not hold {count} clients")
        return json.loads(line)
    finally:
        process.stdin.close()
        process.wait(timeout=60)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def memory_case(count, rows):
    with tempfile.TemporaryDirectory() as directory:
        port = free_port()
        config = os.path.join(directory, "wirehub.yaml")
        with open(config, "w", encoding="utf-8") as out:
            out.write(f"http_server: {{ address: 127.0.0.1, port: {port} }}\n"
                      "client: { allow_anonymous_connect_without_token: true }\n"
                      "engine: { type: memory }\n"
                      "channel: { without_namespace: { allow_subscribe_for_client: true,"
                      " allow_subscribe_for_anonymous: true } }\n")
        hub = subprocess.Popen([f"{BIN}/wirehub", "serve", "--config", config],
                               stdout=subprocess.DEVNULL)
        try:
            wait_ready(port)
            url = f"ws://127.0.0.1:{port}/connection/websocket"
            commands = {"wirehub": [f"{BIN}/bench_sdk_receiver", "hold", url],
                        "centrifuge-js": ["node", f"{REPOSITORY}/tests/bench/sdk_receiver.mjs", "hold", url]}
            if os.path.exists(GO):
                commands["centrifuge-go"] = [GO, "hold", url]
            print(f"\n{count} clients in one process{'':12}{'KiB a client':>14}{'threads':>10}")
            for name, command in commands.items():
                held = hold_clients(command, count)
                each = (held["rss_kib"] - held["before_kib"]) / count
                print(f"  {name:<36}{each:>14,.1f}{held['threads']:>10}")
                rows.append({"case": f"memory/{count}", "client": name, "kib_each": each, **held})
        finally:
            hub.terminate()
            hub.wait(timeout=40)


def wait_ready(port):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + 15
    while True:
        try:
            opener.open(f"http://127.0.0.1:{port}/readyz", timeout=1).close()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise BenchError("the hub did not become ready") from error
            time.sleep(0.05)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="rounds of each case (3)")
    parser.add_argument("--messages", type=int, default=480000, help="publications a run (480000)")
    parser.add_argument("--clients", type=int, default=1000, help="clients in one process (1000)")
    parser.add_argument("--smoke", action="store_true", help="a short run that only shows that all works")
    options = parser.parse_args()
    if options.smoke:
        options.runs, options.messages, options.clients = 1, 4800, 50
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    build_go()
    rows = []
    try:
        for encoding in ("json", "protobuf"):
            for size, per_frame in CASES[:1] if options.smoke else CASES:
                receive_case(encoding, size, per_frame, options, rows)
        memory_case(options.clients, rows)
    except (BenchError, subprocess.TimeoutExpired) as error:
        print(f"bench sdk: {error}", file=sys.stderr)
        return 1
    os.makedirs(os.path.join(REPOSITORY, "build/bench"), exist_ok=True)
    with open(os.path.join(REPOSITORY, "build/bench/sdk.jsonl"), "w", encoding="utf-8") as out:
        out.writelines(json.dumps(row) + "\n" for row in rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
