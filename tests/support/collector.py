"""An OpenTelemetry collector that keeps what it is sent (OTLP over HTTP in JSON).

    with Collector() as collector:
        hub = make_hub({"opentelemetry": {"enabled": True, "endpoint": collector.url}})
        span = collector.wait_span("ws.command connect")
"""

import http.server
import json
import threading
import time


class Collector:
    """`statuses`: what the next requests are answered with; then 200.  Only what was answered with
    200 is kept.  `headers` are those of the last request."""

    def __init__(self):
        self.spans = []  # as in the document, with "resource" as a dict beside
        self.statuses = []
        self.requests = 0
        self.headers = {}
        self._changed = threading.Condition()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,),
                                        daemon=True)

    def _handler(self):
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(collector.take(self.path, self.headers, body))
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        return Handler

    def take(self, path, headers, body):
        with self._changed:
            self.requests += 1
            self.headers = dict(headers.items())
            status = self.statuses.pop(0) if self.statuses else 200
            if path != "/v1/traces" or headers["Content-Type"] != "application/json":
                status = 404
            if status == 200:
                for group in json.loads(body)["resourceSpans"]:
                    resource = attributes(group["resource"])
                    for scope in group["scopeSpans"]:
                        self.spans += [{**span, "resource": resource} for span in scope["spans"]]
            self._changed.notify_all()
        return status

    def wait(self, condition, what, timeout=15.0):
        """Until condition(self) is true; returns what it gave."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while not (found := condition(self)):
                left = deadline - time.monotonic()
                if left <= 0:
                    names = [span["name"] for span in self.spans]
                    raise TimeoutError(f"{what} did not come; {self.requests} requests: {names}")
                self._changed.wait(left)
            return found

    def wait_span(self, name, timeout=15.0, **members):
        """The first span of this name with these members (traceId=…)."""
        def find(_):
            return next((span for span in self.spans if span["name"] == name
                         and all(span.get(k) == v for k, v in members.items())), None)
        return self.wait(find, f"span {name} {members}", timeout)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def attributes(owner):
    """The attributes of a span or resource as a dict."""
    return {item["key"]: next(iter(item["value"].values()))
            for item in owner.get("attributes", [])}
