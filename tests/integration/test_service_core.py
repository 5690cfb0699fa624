"""services/core with a real Redis and tests/support/test_service.c: what a hub and an operator see."""

import json
import os
import signal
import subprocess

import pytest

from support.hub import ROOT
from support.service import BYTES, JSON, MSGPACK, Caller, Service, wait_until

BINARY = os.environ.get("WIREHUB_TEST_SERVICE", ROOT / "build/debug/bin/test_service")


@pytest.fixture
def service(redis):
    with Service(redis) as one:
        yield one.wait_ready()


@pytest.fixture
def caller(redis):
    with Caller(redis) as one:
        yield one


def run(*args, env=None):
    return subprocess.run([str(BINARY), *args], capture_output=True, text=True, timeout=30,
                          env={"PATH": os.environ["PATH"], **(env or {})}, check=False)


def release(service, name="go"):
    (service.directory / name).touch()


def until(service, name="go"):
    return str(service.directory / name)


# Calls


@pytest.mark.parametrize("kind", [JSON, MSGPACK])
def test_an_answer_comes_in_the_notation_of_the_call(service, caller, kind):
    answer = caller.call("testing.v1.echo", {"text": "grüße", "number": -5}, kind=kind)
    assert (answer.code, answer.kind) == (0, kind)
    assert answer.data == {"text": "grüße", "number": -5}


def test_bytes_are_tried_as_json(service, caller):
    answer = caller.call("testing.v1.echo", b' {"text":"by hand"} ', kind=BYTES)
    assert (answer.kind, answer.data) == (JSON, {"text": "by hand"})
    assert caller.call("testing.v1.echo", b"\x00\x01", kind=BYTES).code == 107


def test_a_call_without_params_and_an_answer_without_a_reply(service, caller):
    assert caller.call("testing.v1.echo").data == {}
    assert caller.call("things.v1.nothing").data == {}
    assert caller.call("things.v1.nothing", {}, kind=MSGPACK).data == {}


def test_one_process_serves_two_queues(service, caller):
    assert caller.call("testing.v1.echo", {"text": "a"}).code == 0
    answer = caller.call("things.v1.whoami", roles=["x", "admin"])
    assert answer.data["text"] == "admin 42 -"
    assert 0 < answer.data["number"] <= 10000  # milliseconds left


@pytest.mark.parametrize("busy,other", [("testing", "things"), ("things", "testing")])
def test_a_busy_queue_does_not_starve_the_other(redis, caller, busy, other):
    methods = {"testing": "testing.v1.echo", "things": "things.v1.nothing"}
    with Service(redis, options={"workers": 1}) as service:
        service.wait_ready()
        caller.send("testing.v1.wait", {"text": "first", "until": until(service)})
        wait_until(lambda: service.journal() == ["begin first"], "not begun")
        caller.push(busy, *[caller.envelope(methods[busy])[1] for _ in range(3000)])
        number = caller.send(methods[other])
        release(service)
        assert caller.wait(number).code == 0
        assert len(caller.answers) < 1000


@pytest.mark.parametrize("code,seen,text,temporary", [
    (404, 404, "no such thing", False), (409, 409, "no such thing", False),
    (103, 103, "no such thing", False), (1503, 1503, "no such thing", True),
    (111, 111, "no such thing", True),
    (100, 100, "internal server error", True), (77, 100, "internal server error", True),
    (3005, 100, "internal server error", True)])
def test_errors_and_what_the_caller_sees_of_them(service, caller, code, seen, text, temporary):
    answer = caller.call("testing.v1.fail", {"code": code, "text": "no such thing"})
    assert answer.error == {"code": seen, "message": text,
                            **({"temporary": True} if temporary else {})}
    if seen == 100:
        service.wait_log("failed", method="testing.v1.fail", code=code)


def test_a_message_cut_within_a_character_spoils_nothing(service, caller):
    answer = caller.call("testing.v1.fail", {"code": 409, "text": "xx" + "ü" * 400})
    assert answer.code == 409
    assert set(answer.error["message"]) == {"x", "ü"}


def test_unknown_method_and_version_are_answered(service, caller):
    assert caller.call("testing.v1.nosuch").code == 104
    assert caller.call("testing.v1.echo", v=2).code == 107
    assert service.metric("unknown_calls_total") == 2


def test_elements_that_are_no_call_are_dropped_and_harm_nobody(service, caller):
    _, whole = caller.envelope("testing.v1.echo", {"text": "x"})
    _, elsewhere = caller.envelope("testing.v1.echo", {"text": "x"}, reply="wh:ch:market:ticker")
    bad = [b"", b"\xc1", b"{}", whole[:-1], whole + b"\x01", b"\xdd\x0f\xff\xff\xff", elsewhere]
    caller.push("testing", *bad)
    assert caller.call("testing.v1.echo", {"text": "after"}).data["text"] == "after"
    wait_until(lambda: service.metric("malformed_total") == len(bad), "not all counted")
    assert service.journal() == ["echo after"]


def test_an_answer_that_is_too_large_becomes_an_error(service, caller):
    assert len(caller.call("testing.v1.big", {"size": 1000000}).data["text"]) == 1000000
    assert caller.call("testing.v1.big", {"size": 1048577}).code == 100
    service.wait_log("failed", method="testing.v1.big")


def test_an_expired_call_is_dropped_and_counted(service, caller):
    caller.send("testing.v1.echo", {"text": "late"}, timeout=-0.001)
    assert caller.call("testing.v1.echo", {"text": "in time"}).code == 0
    wait_until(lambda: service.metric("expired_total") == 1, "not counted")
    assert service.journal() == ["echo in time"]


def test_a_call_that_expires_behind_a_slow_one_is_not_begun(redis, caller):
    with Service(redis, options={"workers": 1}) as service:
        service.wait_ready()
        slow = caller.send("testing.v1.wait", {"text": "slow", "until": until(service)})
        wait_until(lambda: service.journal() == ["begin slow"], "not begun")
        caller.send("testing.v1.echo", {"text": "dead"}, deadline_ms=1)
        release(service)
        assert caller.wait(slow).code == 0
        assert caller.call("testing.v1.echo", {"text": "alive"}).code == 0
        assert service.journal() == ["begin slow", "end slow", "echo alive"]


def test_a_cancelled_call_is_not_begun(redis, caller):
    with Service(redis, options={"workers": 1}) as service:
        service.wait_ready()
        slow = caller.send("testing.v1.wait", {"text": "slow", "until": until(service)})
        wait_until(lambda: service.journal() == ["begin slow"], "not begun")
        gone = [caller.send("testing.v1.echo", {"text": f"gone {i}"}) for i in range(3)]
        kept = caller.send("testing.v1.echo", {"text": "kept"})
        assert caller.cancel("testing", *gone) == 1
        # The loop answers after it has read the cancels.
        wait_until(lambda: service.metric("cancels_total") == 3, "cancels not read")
        release(service)
        assert caller.wait(slow).code == 0
        assert caller.wait(kept).data["text"] == "kept"
        assert service.journal() == ["begin slow", "end slow", "echo kept"]
        assert service.metric("cancelled_total") == 3


def test_workers_run_at_once(service, caller):
    slow = [caller.send("testing.v1.wait", {"text": str(i), "until": until(service)})
            for i in range(4)]
    wait_until(lambda: sorted(service.journal()) == [f"begin {i}" for i in range(4)], "not at once")
    assert service.metric("workers_busy") == 4
    release(service)
    for number in slow:
        assert caller.wait(number).code == 0
    wait_until(lambda: service.metric("inflight") == 0, "still in flight")


def test_a_method_past_its_bound_is_refused_and_others_are_not(service, caller):
    first = caller.send("testing.v1.single", {"text": "1", "until": until(service)})
    wait_until(lambda: service.journal() == ["begin 1"], "not begun")
    second = caller.call("testing.v1.single", {"text": "2", "until": until(service)})
    assert (second.code, second.error["temporary"]) == (111, True)
    assert caller.call("testing.v1.echo", {"text": "x"}).code == 0
    release(service)
    assert caller.wait(first).code == 0


def test_answers_of_a_batch_leave_together(redis, caller):
    """Fast handlers are popped in batches; every call is answered exactly once."""
    with Service(redis, options={"workers": 1}) as service:
        service.wait_ready()
        calls = [caller.envelope("things.v1.nothing") for _ in range(3000)]
        caller.push("things", *[element for _, element in calls])
        for number, _ in calls:
            assert caller.wait(number).code == 0
        assert service.metric("calls_total", method="things.v1.nothing", outcome="ok") == 3000
        assert caller.messages < 1500


def test_answers_go_to_the_hub_that_asked(service, redis):
    with Caller(redis, "one") as one, Caller(redis, "two") as two:
        numbers = [(hub, hub.send("testing.v1.echo", {"text": f"{hub.reply} {i}"}))
                   for i in range(50) for hub in (one, two)]
        for hub, number in numbers:
            assert hub.wait(number).data["text"].startswith(hub.reply)


# What hubs see


def test_methods_are_announced_and_again_after_a_restart_of_redis(service, redis, caller):
    def announced():
        text = redis.cli("HGET", "wh:rpc:services", "testing")
        return json.loads(text) if text.strip() else None

    first = announced()
    assert first["version"] == "1.2.3"
    methods = {method["name"]: method for method in first["methods"]}
    assert methods["testing.v1.echo"] == {"name": "testing.v1.echo", "access": "anonymous",
                                          "idempotent": True}
    assert methods["testing.v1.wait"]["timeout_ms"] == 9000
    assert methods["testing.$svc.ping"]["roles"] == ["admin"]
    assert "things.v1.whoami" not in methods
    things = json.loads(redis.cli("HGET", "wh:rpc:services", "things"))
    assert {"name": "things.v1.whoami", "access": "role", "roles": ["admin"]} in things["methods"]
    redis.restart()
    wait_until(lambda: announced() == first, "not announced again")


def test_calls_work_again_after_a_restart_of_redis(service, redis, caller):
    assert caller.call("testing.v1.echo", {"text": "before"}).code == 0
    redis.restart()
    caller.connect()
    wait_until(lambda: caller.alive("testing") == 1 and caller.alive("things") == 1, "not alive")
    assert caller.call("testing.v1.echo", {"text": "after"}).data["text"] == "after"
    service.wait_ready()


def test_an_answer_outlives_a_broken_connection(redis, caller):
    with Service(redis) as service:
        service.wait_ready()
        number = caller.send("testing.v1.wait", {"text": "x", "until": until(service)})
        wait_until(lambda: service.journal() == ["begin x"], "not begun")
        redis.cli("CLIENT", "KILL", "TYPE", "normal")
        caller.commands.close()
        release(service)
        assert caller.wait(number).code == 0


def test_a_service_starts_without_redis_and_is_ready_when_it_comes(redis):
    redis.kill()
    with Service(redis) as service:
        status, text = service.http("/readyz")
        assert status == 503 and "redis: " in text
        assert service.http("/livez")[0] == 200
        redis.restart()
        service.wait_ready()
        with Caller(redis) as caller:
            assert caller.call("testing.v1.echo", {"text": "x"}).code == 0


def test_a_hung_instance_is_not_alive_and_comes_back(redis, caller):
    with Service(redis, options={"workers": 2, "rpc.hung_after": "200ms"}) as service:
        service.wait_ready()
        assert caller.alive("testing") == 1
        one = caller.send("testing.v1.wait", {"text": "1", "until": until(service)})
        wait_until(lambda: service.metric("workers_hung") == 1, "not hung")
        assert caller.alive("testing") == 1  # the other worker still serves
        two = caller.send("testing.v1.wait", {"text": "2", "until": until(service)})
        wait_until(lambda: caller.alive("testing") == 0 and caller.alive("things") == 0,
                   "still alive")
        assert service.http("/livez")[0] == 503
        assert "hung" in service.http("/readyz")[1]
        release(service)
        assert (caller.wait(one).code, caller.wait(two).code) == (0, 0)
        wait_until(lambda: caller.alive("testing") == 1, "not alive again")
        service.wait_ready()


def test_two_instances_share_the_calls(redis, caller):
    with Service(redis, options={"workers": 1}) as one, \
            Service(redis, options={"workers": 1}) as two:
        one.wait_ready()
        two.wait_ready()
        assert caller.alive("testing") == 2
        numbers = [caller.send("testing.v1.wait", {"text": str(i), "until": until(one)})
                   for i in range(2)]
        # Each has one: a worker that waits takes no second call away from the other.
        wait_until(lambda: len(one.journal()) == 1 and len(two.journal()) == 1, "not shared")
        release(one)
        for number in numbers:
            assert caller.wait(number).code == 0
        for _ in range(200):
            assert caller.call("testing.v1.echo", {"text": "x"}).code == 0
        shares = [sum(line.startswith("echo") for line in each.journal()) for each in (one, two)]
        assert sum(shares) == 200 and min(shares) >= 50


# Free methods


def test_the_free_methods_of_every_segment(service, caller):
    ping = caller.call("testing.$svc.ping", {}).data
    assert (ping["name"], ping["version"]) == ("testing", "1.2.3")
    info = caller.call("things.$svc.info", {}, kind=MSGPACK).data
    assert info["instance"] == ping["instance"]
    assert {"name": "things.v1.whoami", "access": "role", "roles": ["admin"], "timeout_ms": 0,
            "idempotent": False} in info["methods"]
    caller.call("testing.v1.echo", {"text": "x"})
    caller.call("testing.v1.fail", {"code": 404})
    caller.call("testing.v1.fail", {"code": 100})
    stats = {method["name"]: method for method in caller.call("testing.$svc.stats").data["methods"]}
    assert stats["testing.v1.echo"]["calls"] == 1
    fail = stats["testing.v1.fail"]
    assert (fail["calls"], fail["refused"], fail["errors"]) == (2, 1, 1)
    assert caller.call("testing.$svc.nosuch").code == 104


# Operators


def test_health_and_metrics(service, caller):
    assert service.http("/livez") == (200, "ok\n")
    assert service.http("/readyz") == (200, "ok\n")
    assert service.http("/nosuch")[0] == 404
    assert service.http("/metrics", method="POST", data=b"x" * 100000)[0] == 405
    caller.call("testing.v1.echo", {"text": "x"})
    text = service.http("/metrics")[1]
    assert 'wirehub_service_build_info{service="testing",version="1.2.3"' in text
    assert service.metric("calls_total", method="testing.v1.echo", outcome="ok") == 1
    assert service.metric("call_seconds_count", method="testing.v1.echo") == 1
    assert service.metric("call_seconds_bucket", method="testing.v1.echo", le="+Inf") == 1
    assert (service.metric("redis_up"), service.metric("alive")) == (1, 1)
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names))


def test_each_call_has_the_trace_id_of_its_caller_or_one_of_its_own_in_the_log(service, caller):
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    caller.call("things.v1.whoami", traceparent=f"00-{trace}-00f067aa0ba902b7-01", user="7")
    assert service.wait_log("whoami", user="7")["trace_id"] == trace
    caller.call("things.v1.whoami", user="8")
    own = service.wait_log("whoami", user="8")["trace_id"]
    assert len(own) == 32 and own != trace


def test_jobs_run(service):
    wait_until(service.journal_path.exists, "no journal")
    wait_until(lambda: service.journal_path.read_text().count("tick") > 2, "no ticks")


def test_a_drain_answers_what_was_taken_and_leaves_the_rest(redis, caller):
    with Service(redis, options={"workers": 2}) as service:
        service.wait_ready()
        slow = [caller.send("testing.v1.wait", {"text": str(i), "until": until(service)})
                for i in range(2)]
        wait_until(lambda: len(service.journal()) == 2, "not begun")
        waiting = caller.send("testing.v1.echo", {"text": "waits"})
        service.signal()
        wait_until(lambda: caller.alive("testing") == 0, "still alive")
        assert service.http("/readyz")[0] == 503
        service.wait_log("drain")
        assert service.metric("draining") == 1
        service.wait_log("finishing")  # from here on no worker takes a call
        release(service)
        assert [caller.wait(number).code for number in slow] == [0, 0]
        assert service.wait_exit() == 0
        # Either answered before the workers ended, or still there for the next instance.
        if caller.queued("testing") == 0:
            assert caller.wait(waiting).data["text"] == "waits"


def test_a_drain_under_load_loses_nothing(redis, caller):
    """Two instances, one drains while calls come: each call is answered once."""
    with Service(redis) as stays:
        stays.wait_ready()
        with Service(redis) as goes:
            goes.wait_ready()
            numbers = []
            for i in range(3000):
                numbers.append(caller.send("testing.v1.echo", {"text": str(i)}, timeout=60))
                if i == 500:
                    goes.signal()
            assert goes.wait_exit() == 0
            answers = [caller.wait(number).data["text"] for number in numbers]
            assert answers == [str(i) for i in range(3000)]
            assert len(goes.journal()) > 0
            assert len(goes.journal()) + len(stays.journal()) == 3000


def test_a_drain_of_idle_workers_does_not_wait_for_them(redis):
    with Service(redis) as service:
        service.wait_ready()
        service.signal()
        assert service.wait_exit() == 0
        service.wait_log("stopped")
        assert "cmdstat_client|unblock" in redis.info("commandstats")


def test_a_drain_that_takes_too_long_ends_with_an_error(redis, caller):
    env = {"TSAN_OPTIONS": "report_thread_leaks=0"}  # the thread that does not end is the point
    with Service(redis, options={"shutdown.timeout": "300ms"}, env=env,
                 expected_exit=1) as service:
        service.wait_ready()
        caller.send("testing.v1.wait", {"text": "x", "until": until(service)})
        wait_until(lambda: service.journal() == ["begin x"], "not begun")
        service.signal()
        assert service.wait_exit() == 1
        assert service.wait_log("drain_failed")["calls_left"] == 1


def test_a_second_signal_ends_it_at_once(redis, caller):
    with Service(redis, expected_exit=1) as service:
        service.wait_ready()
        caller.send("testing.v1.wait", {"text": "x", "until": until(service)})
        wait_until(lambda: service.journal() == ["begin x"], "not begun")
        service.signal()
        service.wait_log("drain")
        service.signal()
        assert service.wait_exit() == 1
        assert service.journal() == ["begin x"]


def test_a_drain_while_redis_is_away_ends(redis):
    with Service(redis) as service:
        service.wait_ready()
        redis.kill()
        service.signal()
        assert service.wait_exit() == 0


def test_a_killed_instance_loses_its_call_and_the_other_serves(redis, caller):
    with Service(redis, options={"workers": 1}, expected_exit=-signal.SIGKILL) as dies:
        dies.wait_ready()
        caller.send("testing.v1.wait", {"text": "lost", "until": until(dies)})
        wait_until(lambda: dies.journal() == ["begin lost"], "not begun")
        dies.signal(signal.SIGKILL)
        dies.wait_exit()
        wait_until(lambda: caller.alive("testing") == 0, "still alive")
        with Service(redis) as next_one:
            next_one.wait_ready()
            assert caller.call("testing.v1.echo", {"text": "x"}).code == 0
            assert next_one.journal() == ["echo x"]


def test_an_account_that_may_do_only_what_the_page_says(redis):
    """Without CLIENT: nobody can wake a waiting worker, and the drain still ends."""
    redis.cli("ACL", "SETUSER", "svc", "on", ">pass", "resetkeys", "~wh:rpc:*", "resetchannels",
              "&wh:*", "-@all", "+ping", "+role", "+select", "+publish", "+subscribe",
              "+unsubscribe", "+info", "+blmpop", "+hset")
    env = {"WIREHUB_TESTING_REDIS_USER": "svc", "WIREHUB_TESTING_REDIS_PASSWORD": "pass"}
    with Service(redis, env=env) as service, Caller(redis) as caller:
        service.wait_ready()
        assert caller.call("testing.v1.echo", {"text": "x"}).code == 0
        service.signal()
        assert service.wait_exit() == 0


# The command line


def test_help_and_version():
    for args in (["--help"], ["serve", "--help"], ["check-config", "--help"]):
        done = run(*args)
        assert done.returncode == 0 and "Usage: wirehub-testing" in done.stdout, args
    assert "--testing.journal=text" in run("--help").stdout
    assert run("version").stdout.startswith("wirehub-testing 1.2.3 (wirehub ")
    assert run("nosuch").returncode == 2


def test_check_config_reports_every_problem(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text("redis: { adress: x }\nworkers: 65\nhttp:\n  port: 70000\n")
    done = run("check-config", "-c", str(path), "--redis.password=p")
    assert done.returncode == 1
    for text in (":1:10: redis.adress: unknown option (did you mean redis.address?)",
                 ":2:10: workers: ", ":4:9: http.port: ",
                 "--redis.password: a secret on the command line",
                 "WIREHUB_TESTING_REDIS_PASSWORD"):
        assert text in done.stderr, done.stderr
    assert run("serve", "--workers=0").returncode == 1
    assert "must begin with /" in run("check-config", "--testing.journal=x").stderr
    assert "redis.address" in run("check-config", "--redis.address=http://x").stderr


def test_sources_and_their_order(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text("workers: 2\nlog: { level: warn }\ntesting: { greeting: hush }\n")
    env = {"WIREHUB_TESTING_CONFIG": str(path), "WIREHUB_TESTING_LOG_LEVEL": "debug"}
    text = run("print-config", "--workers=7", env=env).stdout
    assert "workers: 7" in text and "level: debug" in text
    assert "hush" not in text and "********" in text


def test_a_generated_configuration_is_one(tmp_path):
    path = tmp_path / "s.yaml"
    assert run("gen-config", "-o", str(path)).returncode == 0
    assert run("check-config", "-c", str(path)).returncode == 0
    assert "| `workers` |" in run("print-config", "--markdown").stdout


def test_an_address_that_is_taken_is_a_clear_error(redis):
    with Service(redis) as service:
        with Service(redis, options={"http.port": service.port}, expected_exit=1) as second:
            assert second.wait_exit() == 1
            assert second.find("failed", module="http")
