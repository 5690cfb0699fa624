"""What an operator does to a hub, and what a hub tells its operator."""

import contextlib
import json
import os
import re
import signal
import ssl
import subprocess
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.client import Disconnected, JsonClient, MsgpackClient, ReplyError
from support.hub import HMAC_SECRET, binary_path, is_running, run
from support.ws import HandshakeError, WebSocket

CONNECTIONS_JSON = 'wirehub_connections{transport="websocket",encoding="json"}'
CONNECTIONS_MSGPACK = 'wirehub_connections{transport="websocket",encoding="msgpack"}'


def wait_until(condition, timeout, what):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)  # between polls of a bounded wait


def assert_serves(client):
    """A client that is subscribed to "news" gets its own publication, and nothing before it."""
    client.publish("news", "still here")
    assert client.next_publication("news")["data"] == "still here"


def refused_status(url, **options):
    """The HTTP status of an upgrade; 101 when it succeeds."""
    try:
        WebSocket.connect(url, **options).abort()
    except HandshakeError as refused:
        return refused.status
    return 101


# Health and metrics


LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\n"])*"'
SAMPLE = re.compile(rf"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{{({LABEL}(?:,{LABEL})*)\}})? "
                    r"(-?[0-9]+(?:\.[0-9]+)?(?:e[-+][0-9]+)?)")


def check_exposition(text):
    """Text exposition format 0.0.4 as promtool reads it; returns {family: type}."""
    assert text.endswith("\n") and "\r" not in text and "\n\n" not in text
    types, helped, samples, current = {}, set(), set(), None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name, _, words = line[7:].partition(" ")
            assert name not in helped, f"a second HELP: {line}"
            assert words.endswith("."), f"no sentence: {line}"
            helped.add(name)
        elif line.startswith("# TYPE "):
            current, kind = line[7:].split(" ")
            assert current not in types, f"a family in two pieces: {line}"
            assert kind in ("gauge", "counter", "histogram"), line
            assert (kind == "counter") == current.endswith("_total") or current.startswith(
                "process_"), f"the name does not fit the type: {line}"
            types[current] = kind
        else:
            match = SAMPLE.fullmatch(line)
            assert match, f"no sample: {line}"
            names = [current] if types[current] != "histogram" else [
                f"{current}_{part}" for part in ("bucket", "sum", "count")]
            assert match[1] in names, f"a sample outside its family: {line}"
            assert match.group(1, 2) not in samples, f"a second sample: {line}"
            assert types[current] != "counter" or float(match[3]) >= 0, f"less than nothing: {line}"
            assert all(word not in (match[2] or "") for word in ("channel=", "user=")), line
            samples.add(match.group(1, 2))
    assert helped == set(types)
    return types


def test_health_paths_say_what_they_mean(hub, broker):
    assert json.loads(hub.http("/livez").body) == {"live": True}
    ready = json.loads(hub.http("/readyz").body)
    name = "redis" if broker else "memory"
    assert ready == {"ready": True, "checks": {name: "up", "draining": False}}
    for path in ("/livez", "/readyz", "/metrics"):
        answer = hub.http(path)
        assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
        assert hub.http(path, method="HEAD").body == b""
        assert hub.http(path, method="POST", data=b"x").status == 405


def test_metrics_are_well_formed(hub, clients):
    client = clients(hub, JsonClient, "news")
    with pytest.raises(ReplyError):
        client.subscribe("nowhere:x")
    assert_serves(client)
    answer = hub.http("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    types = check_exposition(answer.body.decode())
    assert all(name.startswith(("wirehub_", "process_")) for name in types)
    assert {"wirehub_connections", "wirehub_build_info"} <= set(types)


def test_metrics_of_any_worker_speak_for_all(make_hub, redis, clients):
    hub = make_hub({"workers": 2}, redis=redis)
    for _ in range(12):
        clients(hub, JsonClient, "news")
    for _ in range(4):
        clients(hub, MsgpackClient, "news", "other")
    seen = set()
    for _ in range(12):  # each over a connection of its own, so both workers are asked
        metrics = hub.metrics()
        assert metrics[CONNECTIONS_JSON] == 12
        assert metrics[CONNECTIONS_MSGPACK] == 4
        assert metrics["wirehub_subscriptions"] == 20
        assert metrics["wirehub_redis_up"] == 2
        seen.add(metrics["wirehub_http_requests_total"])
    assert len(seen) == 12, "the counter of requests does not grow by every request"


def test_metrics_count_what_happened(make_hub, redis, clients):
    hub = make_hub(redis=redis)
    one = clients(hub, JsonClient, "news", token=hub.token("ann"))
    two = clients(hub, JsonClient, "news", token=hub.token("bob"))
    for number in range(5):
        redis.publish("news", str(number))
    one.publish("news", "x")
    for client in (one, two):
        for _ in range(6):
            client.next_publication("news")
    with pytest.raises(ReplyError):
        one.subscribe("nowhere:x")
    with pytest.raises(Disconnected), JsonClient.open(hub.ws_url) as forged:
        forged.connect(token=hub.token("eve", secret="another secret, also known"))
    metrics = hub.metrics()
    expected = {
        CONNECTIONS_JSON: 2,
        'wirehub_connections_total{transport="websocket",encoding="json"}': 3,
        "wirehub_users": 2,
        "wirehub_channels": 1,
        "wirehub_subscriptions": 2,
        "wirehub_messages_received_total": 2 + 2 + 1 + 1 + 1,
        'wirehub_publications_received_total{source="plain"}': 5,
        'wirehub_publications_received_total{source="hub"}': 1,
        'wirehub_messages_sent_total{kind="publication"}': 12,
        'wirehub_messages_sent_total{kind="reply"}': 6,
        'wirehub_reply_errors_total{code="102"}': 1,
        'wirehub_disconnects_total{code="3500"}': 1,
        "wirehub_worker_restarts_total": 0,
    }
    assert {name: metrics.get(name, 0) for name in expected} == expected
    assert sum(v for k, v in metrics.items() if k.startswith("wirehub_auth_failures_total")) == 1
    one.close()
    two.close()
    hub.wait_metric(CONNECTIONS_JSON, lambda count: count == 0)
    hub.wait_metric("wirehub_users", lambda count: count == 0)
    hub.wait_metric("wirehub_channels", lambda count: count == 0)


# Drain


def test_drain_spreads_the_clients_and_refuses_newcomers(make_hub, broker, clients):
    hub = make_hub({"drain": {"spread": "1200ms"}}, redis=broker)
    everybody = [clients(hub, JsonClient, "news") for _ in range(20)]
    started = time.monotonic()
    hub.send_signal(signal.SIGTERM)
    hub.wait_log("drain")
    with pytest.raises(OSError):
        JsonClient.open(hub.ws_url, timeout=1.0)

    def wait_close(client):
        return client.wait_close(timeout=10), time.monotonic() - started

    with ThreadPoolExecutor(len(everybody)) as pool:
        closes = list(pool.map(wait_close, everybody))
    assert {(close.code, close.reason) for close, _ in closes} == {(3001, "shutdown")}
    ends = sorted(end for _, end in closes)
    assert ends[-1] - ends[0] > 0.4, "all were closed at once"
    assert ends[-1] < 1.2 + 3.0
    assert hub.wait_exit() == 0


def test_drain_with_nobody_connected_is_at_once(make_hub):
    hub = make_hub({"drain": {"spread": "10s"}})
    started = time.monotonic()
    assert hub.terminate() == 0
    assert time.monotonic() - started < 3.0


def test_drain_delivers_replies_in_flight(make_hub, redis, clients):
    hub = make_hub(redis=redis)
    client, idle = clients(hub, JsonClient, "news"), clients(hub)
    redis.stop()
    try:
        publishing = client.start("publish", channel="news", data="last words")
        hub.wait_metric("wirehub_messages_received_total", lambda count: count == 4)
        hub.send_signal(signal.SIGTERM)
        assert idle.wait_close().code == 3001  # who has nothing to wait for does not
    finally:
        redis.cont()
    assert client.wait_reply(publishing) == {}
    assert (client.wait_close().code, hub.wait_exit()) == (3001, 0)


def test_drain_with_a_hung_redis_answers_and_exits_0(make_hub, redis, clients):
    hub = make_hub(redis=redis)
    client = clients(hub)
    redis.stop()
    try:
        subscribing = client.start("subscribe", channel="news")
        hub.wait_metric("wirehub_messages_received_total", lambda count: count == 2)
        hub.send_signal(signal.SIGTERM)
        with pytest.raises(ReplyError) as refused:
            client.wait_reply(subscribing)
        assert refused.value.code == 100
        assert (client.wait_close().code, hub.wait_exit()) == (3001, 0)
    finally:
        redis.cont()


def test_drain_without_redis_answers_and_exits_0(make_hub, redis, clients):
    hub = make_hub(redis=redis)
    client = clients(hub, JsonClient, "news")
    redis.kill()
    hub.wait_ready(False)
    subscribing = client.start("subscribe", channel="other")
    hub.wait_metric("wirehub_messages_received_total", lambda count: count == 3)
    hub.send_signal(signal.SIGTERM)
    with pytest.raises(ReplyError) as refused:
        client.wait_reply(subscribing)
    assert refused.value.code == 100
    assert (client.wait_close().code, hub.wait_exit()) == (3001, 0)


def test_drain_delay_keeps_accepting_but_is_not_ready(make_hub, clients):
    hub = make_hub({"drain": {"delay": "1500ms"}})
    started = time.monotonic()
    hub.send_signal(signal.SIGTERM)
    refused = json.loads(hub.wait_ready(False).body)
    assert (refused["ready"], refused["checks"]["draining"]) == (False, True)
    client = clients(hub, JsonClient, "news")
    assert_serves(client)
    assert client.wait_close().code == 3001
    assert time.monotonic() - started > 1.4
    assert hub.wait_exit() == 0


def test_a_second_sigterm_ends_at_once(make_hub, clients):
    hub = make_hub({"drain": {"delay": "60s"}, "shutdown": {"timeout": "90s"}}, expected_exit=None)
    for _ in range(3):
        clients(hub)
    started = time.monotonic()
    while hub.process.poll() is None:  # one that follows too closely counts as the same
        assert time.monotonic() - started < 5.0, "it does not end"
        hub.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            hub.process.wait(0.2)


def test_sigint_drains_as_well(make_hub, clients):
    hub = make_hub()
    client = clients(hub)
    hub.send_signal(signal.SIGINT)
    assert (client.wait_close().code, hub.wait_exit()) == (3001, 0)


# Reload


def wait_reloaded(hub, mark):
    """All workers have taken it over."""
    for worker in range(hub.config["workers"]):
        hub.wait_log("reloaded", since=mark, worker=worker)


def test_reload_adds_an_origin_without_dropping_anybody(make_hub, redis, clients):
    hub = make_hub({"workers": 2}, redis=redis)
    everybody = [clients(hub, JsonClient, "news") for _ in range(6)]
    origin = {"Origin": "https://shop.example"}
    assert refused_status(hub.ws_url, headers=origin) == 403
    mark = hub.log_mark()
    hub.reload({"client": {"allowed_origins": ["https://*.example"]}})
    wait_reloaded(hub, mark)
    for _ in range(8):
        assert refused_status(hub.ws_url, headers=origin) == 101
    everybody[0].publish("news", 1)
    assert [client.next_publication("news")["data"] for client in everybody] == [1] * 6
    hub.wait_metric('wirehub_config_reload_total{outcome="ok"}', lambda count: count == 1)
    hub.wait_log("config_reloaded", since=mark)

    # A worker that is replaced starts with what was reloaded.
    mark = hub.log_mark()
    hub.kill_worker()
    hub.wait_log("worker_started", since=mark)
    for _ in range(8):
        assert refused_status(hub.ws_url, headers=origin) == 101


def test_reload_rotates_the_token_key(make_hub, clients):
    hub = make_hub()
    ann = clients(hub, JsonClient, "news", token=hub.token("ann"))
    old_token, new_secret = hub.token("ann"), "the secret that comes after, 9e07 9e07"
    mark = hub.log_mark()
    hub.reload({"client": {"token": {"hmac_secret_key": new_secret,
                                     "hmac_previous_secret_key": HMAC_SECRET}}})
    wait_reloaded(hub, mark)
    clients(hub, token=hub.token("bob", secret=new_secret))
    clients(hub, token=old_token)
    mark = hub.log_mark()
    del hub.config["client"]["token"]["hmac_previous_secret_key"]
    hub.reload({})
    wait_reloaded(hub, mark)
    clients(hub, token=hub.token("bob", secret=new_secret))
    with pytest.raises(Disconnected) as refused:
        clients(hub, token=old_token)
    assert refused.value.code == 3500
    assert_serves(ann)


BAD_FILES = [
    ('{"client":\n  {"ping_intervall": "25s"}}', ":2:4: ", "ping_interval"),
    ('client:\n  ping_interval: soon\n', ":2:18: ", "duration"),
    ('client: [\n', ":2:1: ", ""),
    ('\x00\x01', ":1:", ""),
]


@pytest.mark.parametrize("text, place, words", BAD_FILES, ids=["key", "value", "syntax", "bytes"])
def test_reload_of_a_bad_file_keeps_the_old_one(make_hub, clients, text, place, words):
    hub = make_hub()
    client = clients(hub, JsonClient, "news")
    mark = hub.log_mark()
    hub.config_path.write_text(text)
    hub.send_signal(signal.SIGHUP)
    hub.wait_log("config_kept", since=mark)
    problem = hub.wait_log("config_error", since=mark)["problem"]
    assert f"{hub.config_path}{place}" in problem and words in problem
    hub.wait_metric('wirehub_config_reload_total{outcome="failed"}', lambda count: count == 1)
    assert_serves(client)
    clients(hub, JsonClient, "market:ticker", token=hub.token("ann"))
    mark = hub.log_mark()
    hub.reload({})
    wait_reloaded(hub, mark)
    assert_serves(client)


def test_reload_of_a_missing_file_keeps_the_old_one(make_hub, clients):
    hub = make_hub()
    client = clients(hub, JsonClient, "news")
    hub.config_path.unlink()
    hub.send_signal(signal.SIGHUP)
    hub.wait_log("config_kept")
    assert_serves(client)


def test_reload_names_what_needs_a_restart(make_hub):
    hub = make_hub()
    mark = hub.log_mark()
    hub.reload({"http_server": {"port": 1}, "log": {"format": "logfmt", "level": "debug"}})
    record = hub.wait_log("reloaded", since=mark)
    assert {"http_server.port", "log.format"} <= set(re.split(r"[, ]+", record["restart_needed"]))
    assert "log.level" in re.split(r"[, ]+", record["changed"])
    assert hub.http("/livez").status == 200


# Workers


def test_a_killed_worker_costs_only_its_own_clients(make_hub, redis, clients):
    hub = make_hub({"workers": 2}, redis=redis)
    everybody = [clients(hub, JsonClient, "news") for _ in range(16)]
    total = 'wirehub_connections_total{transport="websocket",encoding="json"}'
    assert hub.metrics()[total] == 16
    mark = hub.log_mark()
    victim = hub.kill_worker()
    for _ in range(20):  # the port stays: whoever comes meanwhile is served
        assert hub.http("/livez", timeout=10.0).status == 200
    died = hub.wait_log("worker_died", since=mark)
    assert (died["pid"], died["signal"]) == (victim, signal.SIGKILL)
    assert hub.wait_log("worker_started", since=mark)["pid"] != victim
    hub.wait_metric("wirehub_redis_up", lambda up: up == 2)
    wait_until(lambda: len(hub.worker_pids) == 2, 5.0, "no second worker")

    redis.publish("news", '"after"')
    stayed, cut = [], []
    for client in everybody:
        try:
            assert client.next_publication("news")["data"] == "after"
            stayed.append(client)
        except Disconnected as gone:
            assert gone.code == 1006
            cut.append(client)
    assert stayed and cut
    assert hub.metrics()[CONNECTIONS_JSON] == len(stayed)
    assert hub.metrics()["wirehub_worker_restarts_total"] == 1
    assert hub.metrics()[total] == 16, "a counter went back"
    for _ in cut:
        clients(hub, JsonClient, "news")
    assert hub.metrics()[CONNECTIONS_JSON] == 16


def test_a_killed_supervisor_leaves_nothing_that_blocks_a_start(make_hub, redis, clients):
    hub = make_hub({"workers": 2}, redis=redis, expected_exit=-signal.SIGKILL)
    client = clients(hub)
    workers = hub.worker_pids
    hub.send_signal(signal.SIGKILL)
    assert client.wait_close().code in (1006, 3001)
    wait_until(lambda: not any(map(is_running, workers)), 5.0, "workers outlive the supervisor")
    hub.wait_exit()
    again = make_hub({"http_server": {"port": hub.port}}, redis=redis)
    assert again.port == hub.port
    clients(again, JsonClient, "news")


# Logs


def read_until(stream, text, timeout=15.0):
    """Lines of a pipe or terminal until one has `text`."""
    os.set_blocking(stream, False)
    deadline, data = time.monotonic() + timeout, b""
    while text.encode() not in data or not data.endswith(b"\n"):
        assert time.monotonic() < deadline, data
        try:
            data += os.read(stream, 65536)
        except BlockingIOError:
            time.sleep(0.01)  # between polls of a bounded wait
    return data.decode().replace("\r\n", "\n").splitlines()


LOGFMT = re.compile(r'[a-z_]+=(?:"(?:[^"\\]|\\.)*"|[^\s"=]*)'
                    r'(?: [a-z_]+=(?:"(?:[^"\\]|\\.)*"|[^\s"=]*))*')


@pytest.mark.parametrize("args, on_terminal, is_json", [
    ([], False, True),
    ([], True, False),
    (["--log.format=logfmt"], False, False),
    (["--log.format=json"], True, True),
], ids=["pipe", "terminal", "logfmt", "json on a terminal"])
def test_log_format(args, on_terminal, is_json):
    reader, writer = os.openpty() if on_terminal else os.pipe()
    command = [binary_path(), "serve", "--port=0", "--client.insecure=true", *args]
    hub = subprocess.Popen(command, stdout=writer, stderr=subprocess.DEVNULL,
                           stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        lines = read_until(reader, "worker_started")
        hub.terminate()
        lines += read_until(reader, "exit_status")
        assert hub.wait(10) == 0
    finally:
        hub.kill()
        hub.wait()
        os.close(reader)
        os.close(writer)
    for line in lines:
        if is_json:
            assert {"time", "level", "module", "event"} <= set(json.loads(line))
        else:
            assert LOGFMT.fullmatch(line), line
            assert re.search(r"(^| )event=[a-z_]+( |$)", line), line


def test_every_line_is_one_record_whatever_strangers_send(make_hub, redis):
    hub = make_hub({"log": {"level": "trace"}}, redis=redis)
    nasty = 'a"b\\c\nevent=fake\x1b[31m\x7f\u2028'
    for _ in range(2):
        with JsonClient.open(hub.ws_url, headers={"User-Agent": 'x" event=fake "'}) as client:
            client.connect(token=hub.token(nasty), name=nasty, version=nasty)
            with pytest.raises((ReplyError, Disconnected)):
                client.subscribe(nasty)
    with contextlib.suppress(Disconnected), JsonClient.open(hub.ws_url) as client:
        client.connect(token=hub.keep_secret("not.a.token"))
    with JsonClient.open(hub.ws_url) as client:
        client.send_raw(b'{"id":1,"connect":\x00}')
        client.wait_close()
    hub.terminate()
    for line in hub.lines:
        record = json.loads(line)
        assert {"time", "level", "program", "module", "event"} <= set(record), line
        assert record["event"] != "fake"
    assert hub.expected_exit == 0  # secrets and sanitizers are judged when the hub is closed


def test_sigusr1_switches_the_debug_log(make_hub, redis, clients):
    hub = make_hub({"workers": 2}, redis=redis)
    clients(hub)
    assert not [record for record in hub.records if record["level"] == "debug"]
    mark = hub.log_mark()
    hub.send_signal(signal.SIGUSR1)
    for worker in (0, 1):
        hub.wait_log("debug_log", since=mark, worker=worker)
    clients(hub, token=hub.token("ann"))
    hub.wait_log("connected", since=mark, level="debug")
    mark = hub.log_mark()
    hub.send_signal(signal.SIGUSR1)
    for worker in (0, 1):
        hub.wait_log("debug_log", since=mark, worker=worker)
    mark = hub.log_mark()
    clients(hub)
    assert not [record for record in hub.records[mark:] if record["level"] == "debug"]


def test_a_reload_keeps_the_debug_log(make_hub, clients):
    hub = make_hub()
    hub.send_signal(signal.SIGUSR1)
    hub.wait_log("debug_log", worker=0)
    mark = hub.log_mark()
    hub.reload({})
    wait_reloaded(hub, mark)
    mark = hub.log_mark()
    clients(hub, token=hub.token("ann"))
    hub.wait_log("connected", since=mark, level="debug")
    hub.send_signal(signal.SIGUSR1)
    hub.wait_log("debug_log", since=mark, worker=0, on=0)
    mark = hub.log_mark()
    clients(hub)
    assert not [record for record in hub.records[mark:] if record["level"] == "debug"]


# Who may come in


ORIGINS = [
    (None, 101),
    ("http://{host}", 101),
    ("https://shop.example", 101),
    ("HTTPS://SHOP.example", 101),
    ("https://a.wild.example", 101),
    ("https://shop.example.evil", 403),
    ("https://evil.example", 403),
    ("https://wild.example", 403),
    ("http://shop.example", 403),
    ("https://shop.example:444", 403),
    ("null", 403),
    ("http://{host}.evil", 403),
]


def test_origin_rules(make_hub):
    hub = make_hub({"client": {"allowed_origins": ["https://shop.example",
                                                   "https://*.wild.example"]}})
    host = f"127.0.0.1:{hub.port}"
    for origin, status in ORIGINS:
        headers = {"Origin": origin.format(host=host)} if origin else {}
        assert refused_status(hub.ws_url, headers=headers) == status, origin
    name = 'wirehub_connections_refused_total{reason="origin"}'
    assert hub.metrics()[name] == sum(status == 403 for _, status in ORIGINS)


def test_any_origin_when_the_list_says_so(make_hub):
    hub = make_hub({"client": {"allowed_origins": ["*"]}})
    assert refused_status(hub.ws_url, headers={"Origin": "https://anywhere.example"}) == 101


def test_connection_limit_refuses_before_the_upgrade(make_hub, clients):
    hub = make_hub({"client": {"connection_limit": 3}})
    everybody = [clients(hub) for _ in range(3)]
    assert refused_status(hub.ws_url) == 503
    assert hub.http("/livez").status == 200
    assert hub.metrics()['wirehub_connections_refused_total{reason="limit"}'] == 1
    everybody[0].close()
    wait_until(lambda: refused_status(hub.ws_url) == 101, 5.0, "no room after one has left")


def test_connection_rate_limit_refuses_and_recovers(make_hub):
    hub = make_hub({"client": {"connection_rate_limit": 4}})
    started = time.monotonic()
    statuses = [refused_status(hub.ws_url) for _ in range(16)]
    allowed = 4 + 4 * (time.monotonic() - started) + 1
    assert set(statuses) == {101, 503} and 4 <= statuses.count(101) <= allowed
    name = 'wirehub_connections_refused_total{reason="rate"}'
    assert hub.metrics()[name] == statuses.count(503)
    wait_until(lambda: refused_status(hub.ws_url) == 101, 3.0, "the limit does not recover")


def test_user_connection_limit(make_hub, clients):
    hub = make_hub({"client": {"user_connection_limit": 2}})
    first = clients(hub, token=hub.token("ann"))
    clients(hub, token=hub.token("ann"))
    with pytest.raises(Disconnected) as refused:
        clients(hub, token=hub.token("ann"))
    assert (refused.value.code, refused.value.reason) == (3504, "connection limit")
    clients(hub, token=hub.token("bob"))
    for _ in range(3):
        clients(hub)  # nobody in particular is no user
    first.close()
    hub.wait_metric(CONNECTIONS_JSON, lambda count: count == 5)
    clients(hub, token=hub.token("ann"))


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """(certificate, key) as paths of PEM files, signed by itself, for 127.0.0.1."""
    directory = tmp_path_factory.mktemp("tls")
    cert, key = directory / "cert.pem", directory / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=test",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
                   check=True, capture_output=True)
    return cert, key


def test_tls(make_hub, certificate):
    cert, key = certificate
    hub = make_hub({"http_server": {"tls": {"enabled": True, "cert_pem": str(cert),
                                            "key_pem": str(key)}}}, ready=False)
    context = ssl.create_default_context(cafile=cert)
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context),
                                         urllib.request.ProxyHandler({}))
    with opener.open(f"https://127.0.0.1:{hub.port}/livez", timeout=5) as answer:
        assert json.loads(answer.read()) == {"live": True}
    url = f"wss://127.0.0.1:{hub.port}/connection/websocket"
    with JsonClient(WebSocket.connect(url, cafile=cert)) as client:
        client.connect(token=hub.token("ann"))
        client.subscribe("news")
        for size in (10, 20_000, 60_000):
            client.publish("news", "x" * size)
            assert client.next_publication("news")["data"] == "x" * size
        with pytest.raises((OSError, HandshakeError)):
            WebSocket.connect(hub.ws_url, timeout=2.0)  # in the clear
        with pytest.raises(ssl.SSLError):
            WebSocket.connect(url)  # by who does not know the certificate
        assert_serves(client)
        hub.terminate()
        assert client.wait_close().code == 3001


def test_tls_by_pem_text(make_hub, certificate):
    cert, key = certificate
    hub = make_hub({"http_server": {"tls": {"enabled": True, "cert_pem": cert.read_text(),
                                            "key_pem": key.read_text()}}}, ready=False)
    url = f"wss://127.0.0.1:{hub.port}/connection/websocket"
    with JsonClient(WebSocket.connect(url, cafile=cert)) as client:
        client.connect()


@pytest.mark.parametrize("as_text", [False, True], ids=["path", "text"])
def test_tls_asks_for_a_certificate_of_the_clients(make_hub, certificate, as_text):
    cert, key = certificate
    hub = make_hub({"http_server": {"tls": {
        "enabled": True, "cert_pem": str(cert), "key_pem": str(key),
        "client_ca_pem": cert.read_text() if as_text else str(cert)}}}, ready=False)

    def livez(context):
        with WebSocket.connect(f"http://127.0.0.1:{hub.port}", raw=True) as ws:
            ws.sock = context.wrap_socket(ws.sock, server_hostname="127.0.0.1")
            ws.send_bytes(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            return ws.recv_response().status

    stranger, friend = (ssl.create_default_context(cafile=cert) for _ in range(2))
    friend.load_cert_chain(cert, key)
    with pytest.raises(OSError):  # ssl.SSLError and a reset are both of that kind
        livez(stranger)
    assert livez(friend) == 200


def test_tls_without_a_usable_certificate_does_not_start(tmp_path, certificate):
    config = tmp_path / "wirehub.yaml"
    config.write_text(json.dumps({
        "http_server": {"port": 0, "tls": {"enabled": True, "key_pem": str(certificate[1]),
                                           "cert_pem": str(tmp_path / "missing.pem")}},
        "client": {"insecure": True}}))
    done = run("serve", "-c", config)
    assert done.returncode == 1
    assert "cert" in done.stdout + done.stderr
