"""A real, unmodified Centrifugo of one exact version: built here, started, killed, restarted.

`obtain()` builds it once into build/centrifugo with Go, and raises Unavailable with the reason where
that cannot be (no Go, an old one, no modules).  With WIREHUB_TEST_CENTRIFUGO_URL (ws:// or http://,
configured as `file_of` writes it, its methods proxied by the tests' MethodProxy if it can be) that
server is used instead; it cannot be killed.  `python3 -m support.centrifugo` builds and says which.
"""

import base64
import fcntl
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.parse
from pathlib import Path

from support.hub import ROOT, merge
from support.redis_server import free_port
from support.sdk_server import CONFIG, METHODS, MethodError, SdkServer

MODULE = "github.com/centrifugal/centrifugo/v6"
VERSION = "v6.9.1"
GO_NEEDED = (1, 26)
BUILD_SECONDS = 900
START_TRIES = 5
URL_VARIABLE = "WIREHUB_TEST_CENTRIFUGO_URL"


class Unavailable(Exception):
    """There is no Centrifugo here; the text says why."""


def obtain():
    """The path of the program."""
    directory = ROOT / "build/centrifugo" / VERSION
    program = directory / "centrifugo"
    directory.mkdir(parents=True, exist_ok=True)
    with open(directory / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one builds, the others wait for it
        if not program.exists():
            _build(directory, program)
    return program


def _build(directory, program):
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GOWORK": "off",
                   "GOBIN": str(directory / "new")}
    if shutil.which("go") is None:
        raise Unavailable("go is not installed")
    found = _go(environment, "env", "GOVERSION").stdout.strip()
    version = tuple(int(number) for number in re.findall(r"\d+", found)[:2])
    if version < GO_NEEDED:
        raise Unavailable(f"{found} is too old: Centrifugo {VERSION} needs "
                          f"{'.'.join(map(str, GO_NEEDED))}")
    done = _go(environment, "install", "-buildvcs=false", f"{MODULE}@{VERSION}")
    if done.returncode != 0:
        raise Unavailable(f"go cannot build Centrifugo: {done.stderr.strip()[-300:]}")
    os.replace(directory / "new/centrifugo", program)


def _go(environment, *arguments):
    try:
        return subprocess.run(["go", *arguments], env=environment, cwd="/", capture_output=True,
                              text=True, timeout=BUILD_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"go {arguments[0]} took more than {BUILD_SECONDS} s") from None


class MethodProxy:
    """The HTTP backend that Centrifugo asks for every call of a method."""

    def __init__(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _MethodHandler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/rpc"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class _MethodHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):  # noqa: N802, a name of the base class
        size = int(self.headers["Content-Length"])
        answer = json.dumps(self._answer(json.loads(self.rfile.read(size)))).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    @staticmethod
    def _answer(call):
        method, raw = call["method"], base64.b64decode(call.get("b64data", ""))
        if method not in METHODS:
            return {"error": {"code": 404, "message": "no such method"}}
        try:
            if not method.endswith(".echo"):  # which takes bytes too
                raw = json.dumps(METHODS[method](json.loads(raw))).encode()
        except MethodError as error:
            return {"error": {"code": error.code, "message": error.message,
                              "temporary": error.temporary}}
        return {"result": {"b64data": base64.b64encode(raw).decode()}}

    def log_message(self, *_):
        pass


def file_of(port, redis_address, method_url, config=None):
    """The whole configuration, as Centrifugo's file has it."""
    own = {
        "http_server": {"port": port},
        "health": {"enabled": True},
        "log": {"level": "info"},
        "client": {"allowed_origins": ["*"]},
        "engine": {"type": "redis", "redis": {"address": redis_address}},
        "rpc": {"proxy": {"endpoint": method_url, "timeout": "15s", "binary_encoding": True},
                "without_namespace": {"proxy_enabled": True, "proxy_name": "default"}},
    }
    return merge(merge(CONFIG, own), config or {})


class CentrifugoServer(SdkServer):
    """`config` is merged over sdk_server.CONFIG.  Raises Unavailable."""

    name = "centrifugo"
    encodings = ("json", "protobuf")

    def __init__(self, redis, config=None):
        self.redis = redis
        self.config = config
        self.process = None
        self.methods = None
        self._directory = None
        foreign = os.environ.get(URL_VARIABLE)
        self.is_foreign = bool(foreign)
        if self.is_foreign:
            parts = urllib.parse.urlsplit(foreign)
            self.host, self.port = parts.hostname, parts.port
            self.wait_api()
            return
        self.program = obtain()
        self.methods = MethodProxy()
        self._directory = tempfile.TemporaryDirectory(prefix="wirehub-centrifugo-")
        self.directory = Path(self._directory.name)
        try:
            self._start_somewhere()
        except BaseException:
            self.close()
            raise

    @property
    def url(self):
        return f"http://{self.host if self.is_foreign else '127.0.0.1'}:{self.port}"

    @property
    def ws_url(self):
        return f"ws{self.url[4:]}/connection/websocket"

    def _start_somewhere(self):
        """It does not say which port the kernel chose, so it is told one that was free."""
        for left in reversed(range(START_TRIES)):
            self.port = free_port()
            try:
                return self._start()
            except AssertionError:
                if left == 0 or "address already in use" not in self.log():
                    raise
        return None

    def _start(self):
        path = self.directory / "config.json"
        path.write_text(json.dumps(file_of(self.port, self.redis.address, self.methods.url,
                                           self.config)))
        clean = {k: v for k, v in os.environ.items() if not k.startswith("CENTRIFUGO_")}
        with open(self.directory / "log", "a", encoding="utf-8") as log:
            self.process = subprocess.Popen([self.program, "-c", path], env=clean, stdout=log,
                                            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        self.wait_api()

    def log(self):
        return (self.directory / "log").read_text(encoding="utf-8", errors="replace")

    def check_alive(self):
        if not self.is_foreign:
            assert self.process.poll() is None, \
                f"Centrifugo ended with {self.process.poll()}: {self.log()[-2000:]}"

    def kill(self):
        assert not self.is_foreign, f"the server of {URL_VARIABLE} cannot be killed"
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def restart(self):
        self.kill()
        self._start()

    def close(self):
        if self.is_foreign:
            return
        try:
            if self.process is not None and self.process.poll() is None:
                self.process.terminate()
                try:
                    self.process.wait(15)
                except subprocess.TimeoutExpired:
                    self.kill()
            if self.process is not None:
                print(f"--- output of Centrifugo, its end\n{self.log()[-4000:]}")
        finally:
            self.methods.close()
            self._directory.cleanup()


if __name__ == "__main__":
    try:
        print(obtain())
    except Unavailable as problem:
        sys.exit(f"no Centrifugo: {problem}")
