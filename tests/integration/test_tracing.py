"""One trace from what a client sends to the service that answers, in a collector's eyes."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time

import pytest

from support.client import JsonClient, ReplyError
from support.collector import Collector, attributes
from support.hub import SANITIZER_EXIT, SANITIZER_MARKS, binary_path
from support.rpc_service import Connection, RpcService, json_payload

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{SPAN}-01"


@pytest.fixture
def collector():
    with Collector() as started:
        yield started


def tracing(collector_or_url, **options):
    url = getattr(collector_or_url, "url", collector_or_url)
    return {"opentelemetry": {"enabled": True, "endpoint": url, **options}}


def silent_port():
    """A port of 127.0.0.1 where nobody listens, kept from others."""
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    return taken


def test_a_call_over_the_socket_is_one_trace_through_hub_and_service(make_hub, redis, clients,
                                                                     collector):
    hub = make_hub(tracing(collector), redis=redis)
    with RpcService(redis, "shop", {"shop.v1.pay": lambda call: json_payload({"ok": True})},
                    rules={"shop.v1.pay": {"access": "anonymous"}}) as shop:
        client = clients(hub)
        client.rpc("shop.v1.pay", {"order": 7})
        call = collector.wait_span("rpc shop.v1.pay")
        command = collector.wait_span("ws.command rpc", traceId=call["traceId"])
        assert call["parentSpanId"] == command["spanId"]
        assert "parentSpanId" not in command
        assert int(command["startTimeUnixNano"]) <= int(call["startTimeUnixNano"])
        assert int(call["endTimeUnixNano"]) <= int(command["endTimeUnixNano"])
        assert shop.calls[0]["traceparent"] == f"00-{call['traceId']}-{call['spanId']}-01"
        assert call["resource"]["service.name"] == "wirehub"
        assert {"service.version", "service.instance.id"} <= call["resource"].keys()
    assert hub.wait_metric("wirehub_trace_spans_exported_total", lambda n: n >= 3)
    assert hub.metrics()["wirehub_trace_spans_dropped_total"] == 0


@pytest.mark.parametrize("way", ["upgrade", "connect"])
def test_a_connection_continues_the_trace_of_its_page(make_hub, clients, collector, way):
    hub = make_hub(tracing(collector, sample_ratio="0"))
    if way == "upgrade":
        client = clients(hub, headers={"traceparent": TRACEPARENT})
    else:
        client = JsonClient.open(hub.ws_url)
        client.connect(headers={"traceparent": TRACEPARENT})
    span = collector.wait_span("ws.command connect")
    assert (span["traceId"], span["parentSpanId"]) == (TRACE, SPAN)
    client.subscribe("news")
    span = collector.wait_span("ws.command subscribe")
    assert span["traceId"] != TRACE
    assert span["links"] == [{"traceId": TRACE, "spanId": SPAN}]
    client.close()


@pytest.mark.parametrize("header", ["", "nonsense", f"00-{TRACE}-{'0' * 16}-01", "0" * 2000,
                                    f"ff-{TRACE}-{SPAN}-01"])
def test_a_malformed_traceparent_counts_as_none(make_hub, clients, collector, header):
    hub = make_hub(tracing(collector))
    client = clients(hub, headers={"traceparent": header})
    span = collector.wait_span("ws.command connect")
    assert "parentSpanId" not in span
    assert span["traceId"] != TRACE
    client.subscribe("news")


def test_a_failed_call_says_so_in_its_spans(make_hub, redis, clients, collector):
    hub = make_hub(tracing(collector), redis=redis)
    client = clients(hub)
    with pytest.raises(ReplyError, match="104"):
        client.rpc("nobody.knows", {})
    for name in ("rpc nobody.knows", "ws.command rpc"):
        span = collector.wait_span(name)
        assert span["status"]["code"] == 2
        assert attributes(span)["wirehub.error.code"] == "104"


def test_a_collector_that_comes_back_gets_what_was_kept(make_hub, clients, collector):
    collector.statuses = [503, 429]
    hub = make_hub(tracing(collector))
    clients(hub)
    collector.wait_span("ws.command connect", timeout=60)
    assert collector.requests == 3
    assert hub.metrics()["wirehub_trace_spans_dropped_total"] == 0


def test_a_collector_that_is_away_harms_nobody(make_hub, clients):
    with silent_port() as taken:
        hub = make_hub(tracing(f"http://127.0.0.1:{taken.getsockname()[1]}"))
        client = clients(hub, JsonClient, "news")
        hub.wait_log("export_failed")
        # More than the worker may keep: what does not fit is lost and counted.
        for _ in range(90):
            ids = [client.start("publish", channel="news", data=1) for _ in range(50)]
            for command in ids:
                client.wait_reply(command)
        assert hub.wait_metric("wirehub_trace_spans_dropped_total", lambda n: n > 0, timeout=15)
        assert hub.metrics()["wirehub_trace_spans_exported_total"] == 0
        assert hub.http("/readyz").status == 200
    # Its end is judged by make_hub: in time, with exit code 0.


def test_a_hub_that_ends_sends_its_last_spans(make_hub, clients, collector):
    hub = make_hub(tracing(collector))
    client = clients(hub)
    client.subscribe("last")
    hub.terminate()
    collector.wait_span("ws.command subscribe", timeout=0.1)


def test_the_server_api_continues_the_trace_of_its_caller(make_hub, collector):
    config = {**tracing(collector, api=True), "http_api": {"key": "k" * 20}}
    hub = make_hub(config)
    answer = hub.http("/api/publish", method="POST",
                      headers={"X-API-Key": "k" * 20, "traceparent": TRACEPARENT},
                      data=b'{"channel":"news","data":{}}')
    assert answer.status == 200
    span = collector.wait_span("api publish")
    assert (span["traceId"], span["parentSpanId"]) == (TRACE, SPAN)


def rest(hub, method, **headers):
    return hub.http(f"/rpc/{method}", method="POST", data=b"{}",
                    headers={"Content-Type": "application/json", **headers})


def paying(redis):
    return RpcService(redis, "shop", {"shop.v1.pay": lambda call: json_payload({"ok": True})},
                      rules={"shop.v1.pay": {"access": "anonymous"}})


def test_rest_continues_the_trace_of_its_caller_and_says_where_it_stood(make_hub, redis, collector):
    hub = make_hub(tracing(collector, sample_ratio="0"), redis=redis)
    with paying(redis) as shop:
        answer = rest(hub, "shop.v1.pay", traceparent=TRACEPARENT, tracestate="a=1,b=2")
        assert answer.status == 200
        span = collector.wait_span("rest shop.v1.pay")
        assert (span["traceId"], span["parentSpanId"]) == (TRACE, SPAN)
        assert attributes(span)["http.response.status_code"] == "200"
        assert answer.headers["traceresponse"] == f"00-{TRACE}-{span['spanId']}-01"
        call = collector.wait_span("rpc shop.v1.pay", parentSpanId=span["spanId"])
        assert shop.calls[0]["traceparent"] == f"00-{TRACE}-{call['spanId']}-01"
        assert shop.calls[0]["tracestate"] == "a=1,b=2"


@pytest.mark.parametrize("header", ["", "nonsense", f"00-{'0' * 32}-{SPAN}-01",
                                    TRACEPARENT + "-more", TRACEPARENT.upper()])
def test_rest_with_a_malformed_traceparent_is_a_trace_of_its_own(make_hub, redis, collector, header):
    hub = make_hub(tracing(collector), redis=redis)
    with paying(redis) as shop:
        answer = rest(hub, "shop.v1.pay", traceparent=header, tracestate="a=1")
        assert answer.status == 200
        span = collector.wait_span("rest shop.v1.pay")
        assert "parentSpanId" not in span and span["traceId"] != TRACE
        assert answer.headers["traceresponse"] == f"00-{span['traceId']}-{span['spanId']}-01"
        assert "tracestate" not in shop.calls[0]


def test_rest_that_fails_says_so_in_its_span(make_hub, redis, collector):
    hub = make_hub(tracing(collector), redis=redis)
    for path, name in (("nobody.v1.knows", "nobody.v1.knows"), ("no%20%ff%22%01", "?")):
        answer = rest(hub, path, traceparent=TRACEPARENT)
        assert answer.status == 404
        place = answer.headers["traceresponse"].split("-")
        span = collector.wait_span(f"rest {name}", spanId=place[2])
        assert (span["traceId"], span["status"]["code"]) == (TRACE, 2)
        assert attributes(span)["wirehub.error.code"] == "104"
        assert attributes(span)["http.response.status_code"] == "404"
    answer = rest(hub, "nobody.v1.knows", Authorization="Basic eDp5", traceparent=TRACEPARENT)
    assert answer.status == 401
    collector.wait_span("rest nobody.v1.knows", spanId=answer.headers["traceresponse"].split("-")[2])


def test_rest_without_tracing_passes_a_trace_on_and_makes_none(make_hub, redis):
    hub = make_hub(redis=redis)
    with paying(redis) as shop:
        answer = rest(hub, "shop.v1.pay", traceparent=TRACEPARENT)
        assert answer.headers["traceresponse"] == TRACEPARENT
        assert shop.calls[0]["traceparent"] == TRACEPARENT
        assert "traceresponse" not in rest(hub, "shop.v1.pay").headers
        assert "traceparent" not in shop.calls[1]


def test_a_page_of_another_site_may_read_the_trace_of_its_call(make_hub, redis, collector):
    site = "https://shop.example"
    hub = make_hub({**tracing(collector), "client": {"allowed_origins": [site]}}, redis=redis)
    answer = rest(hub, "nobody.v1.knows", Origin=site)
    assert "traceresponse" in answer.headers["access-control-expose-headers"]


def test_the_variables_of_opentelemetry_say_what_options_leave_open(make_hub, clients, collector):
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_TRACES_SAMPLER_ARG": "1",
           "OTEL_EXPORTER_OTLP_HEADERS": "X-Tenant=my%20shop,x-other=1"}
    hub = make_hub({"opentelemetry": {"enabled": True}}, env=env)
    clients(hub)
    collector.wait_span("ws.command connect")
    assert collector.headers["X-Tenant"] == "my shop"
    assert collector.headers["x-other"] == "1"


def test_without_tracing_nobody_is_asked_and_a_call_has_no_trace(make_hub, redis, clients):
    hub = make_hub(redis=redis)
    with RpcService(redis, "shop", {"shop.v1.pay": lambda call: json_payload({"ok": True})},
                    rules={"shop.v1.pay": {"access": "anonymous"}}) as shop:
        client = clients(hub, headers={"traceparent": TRACEPARENT})
        client.rpc("shop.v1.pay", {})
        assert "traceparent" not in shop.calls[0]


# Services


@contextlib.contextmanager
def run_service(redis, *flags):
    """tests/support/test_service.c, ready; yields its log as a list that grows.  Ends well."""
    lines = []
    sanitizer = f"exitcode={SANITIZER_EXIT}:abort_on_error=0"
    process = subprocess.Popen(
        [binary_path().with_name("test_service"), "serve",
         f"--redis.address=unix://{redis.socket_path}", "--log.format=json", *flags],
        env={**os.environ, "ASAN_OPTIONS": sanitizer, "UBSAN_OPTIONS": sanitizer},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    started = threading.Event()

    def read():
        for line in process.stdout:
            lines.append(line)
            if '"event":"started"' in line:
                started.set()
        started.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        assert started.wait(15) and process.poll() is None, lines
        yield lines
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0, lines
    finally:
        process.kill()
        process.wait()
        reader.join(5)
        process.stdout.close()
        assert not any(mark in line for line in lines for mark in SANITIZER_MARKS), lines


def call_until_served(client, method, params):
    """The service is ready; the hub may not have heard of it yet."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        try:
            return client.rpc(method, params)
        except ReplyError as error:
            if error.code not in (104, 1503):
                raise
        time.sleep(0.02)  # between polls of a bounded wait
    raise TimeoutError(f"{method} is not served")


def test_a_service_continues_the_trace_of_its_caller(make_hub, redis, clients, collector):
    hub = make_hub(tracing(collector), redis=redis)
    with run_service(redis, "--opentelemetry.enabled", "--opentelemetry.sample_ratio=0",
                         f"--opentelemetry.endpoint={collector.url}"):
        call_until_served(clients(hub), "testing.v1.echo", {"text": "a"})
        served = collector.wait_span("testing.v1.echo")
        call = collector.wait_span("rpc testing.v1.echo", spanId=served["parentSpanId"])
        command = collector.wait_span("ws.command rpc", spanId=call["parentSpanId"])
        assert served["traceId"] == call["traceId"] == command["traceId"]
        assert served["kind"] == 2
        assert served["resource"]["service.name"] == "wirehub-testing"
        assert served["resource"]["service.instance.id"] != call["resource"]["service.instance.id"]


def test_a_service_that_fails_says_so_under_the_trace_of_its_caller(make_hub, redis, clients,
                                                                    collector):
    hub = make_hub(tracing(collector), redis=redis)
    with run_service(redis, "--opentelemetry.enabled",
                         f"--opentelemetry.endpoint={collector.url}") as lines:
        client = clients(hub, token=hub.token("ann"))
        call_until_served(client, "testing.v1.echo", {"text": "a"})
        with pytest.raises(ReplyError, match="100"):
            client.rpc("testing.v1.fail", {"code": 100})
        served = collector.wait_span("testing.v1.fail")
        assert served["status"]["code"] == 2
        assert attributes(served)["wirehub.error.code"] == "100"
    failed = [json.loads(line) for line in lines if '"event":"failed"' in line]
    assert [record["trace_id"] for record in failed] == [served["traceId"]]


def test_a_service_without_tracing_names_the_trace_in_its_log(make_hub, redis, clients):
    hub = make_hub(redis=redis)
    with run_service(redis, "--workers=1") as lines:
        client = clients(hub, token=hub.token("ann"))
        call_until_served(client, "testing.v1.echo", {"text": "a"})
        with pytest.raises(ReplyError, match="100"):
            client.rpc("testing.v1.fail", {"code": 100})
        connection = Connection(redis.socket_path)
        connection.call("RPUSH", "wh:rpc:testing", "no call")
        connection.close()
        client.rpc("testing.v1.echo", {"text": "a"})  # by the one worker, behind that
    failed = [json.loads(line) for line in lines if '"event":"failed"' in line]
    assert len(failed[0]["trace_id"]) == 32
    others = [json.loads(line) for line in lines if '"event":"malformed"' in line]
    assert ["trace_id" in record for record in others] == [False]


def test_a_service_that_ends_sends_its_last_spans(make_hub, redis, clients, collector):
    hub = make_hub(tracing(collector), redis=redis)
    with run_service(redis, "--opentelemetry.enabled",
                         f"--opentelemetry.endpoint={collector.url}"):
        call_until_served(clients(hub), "testing.v1.echo", {"text": "a"})
    collector.wait_span("testing.v1.echo", timeout=0.1)
