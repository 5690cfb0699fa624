"""Everything behind the demo page, for tests in node: demo_stack.py [--access-ttl 1h] [--recovery-limit N].

Prints one line of JSON when all of it is ready, {"url", "redis_port"}, and ends it when standard input does.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from chaos import stack as chaos  # noqa: E402
from support.hub import ROOT  # noqa: E402
from support.redis_server import free_port  # noqa: E402

NAMESPACE = {
    "name": "demo", "presence": True, "join_leave": True, "allow_presence_for_subscriber": True,
    "allow_presence_for_anonymous": True, "allow_subscribe_for_client": True,
    "allow_subscribe_for_anonymous": True, "history_size": 6000, "history_ttl": "10m",
    "force_recovery": True}


class DemoStack(chaos.Stack):
    """The stack of the chaos runs, with the page, the demo service and no faults."""

    def __init__(self, binaries, recovery_limit):
        self.recovery_limit = recovery_limit
        super().__init__(binaries, instances=1)
        self.demo = self.programs["demo"] = self._demo()
        self.demo.start()
        self.demo.wait_ready()

    def _hub(self):
        hub = super()._hub()
        page = self.directory / "page"
        subprocess.run(["sh", "-c", '. tools/common.sh; demo_files "$@"', "sh", str(page),
                        str(self.redis.port)], cwd=ROOT, check=True, stdout=sys.stderr)
        path = self.directory / "hub.json"
        config = json.loads(path.read_text())
        config["channel"]["namespaces"].append(NAMESPACE)
        config["client"] |= {"recovery_max_publication_limit": self.recovery_limit,
                             "queue_max_size": "4MiB"}
        config["demo"] = {"enabled": True, "dir": str(page)}
        path.write_text(json.dumps(config, indent=2))
        return hub

    def _demo(self):
        port = free_port()
        options = {"redis.address": self.redis.address, "http.port": port,
                   "hub.metrics_url": f"{self.url}/metrics", "log.format": "logfmt"}
        return chaos.Program("demo", [self.binaries / "wirehub-demo", "serve",
                                      *(f"--{key}={value}" for key, value in options.items())],
                             self.directory / "demo.log", port, {"no_proxy": "*"})


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--access-ttl", default="1h")
    parser.add_argument("--recovery-limit", type=int, default=6000)
    options = parser.parse_args()
    chaos.OPTIONS["user"]["token.access_ttl"] = options.access_ttl
    binary = os.environ.get("WIREHUB_BIN", ROOT / "build/debug/bin/wirehub")
    stack = DemoStack(Path(binary).parent, options.recovery_limit)
    try:
        print(json.dumps({"url": stack.url, "redis_port": stack.redis.port}), flush=True)
        sys.stdin.read()
    finally:
        stack.close()


if __name__ == "__main__":
    main()
