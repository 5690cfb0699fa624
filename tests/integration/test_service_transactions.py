"""Transactions of services/core with a real PostgreSQL: keys, retries, deadlines, outages."""

import signal

import pytest

from support.pg_proxy import PgProxy
from support.service import wait_until


def test_an_effect_and_its_answer_are_kept_under_the_key(world):
    service = world.start()
    first = world.add("a", 5, key="k1")
    again = world.add("a", 5, key="k1")
    assert (first.code, first.data) == (0, {"name": "a", "value": 5})
    assert (again.code, again.data) == (0, {"name": "a", "value": 5})
    assert world.add("a", 5, key="k2").data["value"] == 10
    assert service.metric("postgres_up") == 1


def test_the_key_may_stand_in_the_parameters(world):
    world.start()
    params = {"name": "a", "by": 1, "idempotency_key": "inside"}
    assert world.caller.call("counters.v1.add_keyed", params).data["value"] == 1
    assert world.caller.call("counters.v1.add_keyed", params).data["value"] == 1
    assert world.value("select key from idempotency") == "inside"


def test_a_key_with_other_parameters_is_a_conflict(world):
    world.start()
    assert world.add("a", 5, key="k").code == 0
    assert world.add("a", 6, key="k").code == 409
    assert world.caller.call("counters.v1.add_keyed", {"name": "a", "by": 5}, key="k").code == 409
    assert world.value("select value from counter") == "5"


def test_a_key_belongs_to_its_user(world):
    world.start()
    assert world.add("a", 5, key="k", user="1").data["value"] == 5
    assert world.add("a", 5, key="k", user="2").data["value"] == 10


def test_a_method_that_requires_a_key_refuses_calls_without(world):
    world.start()
    assert world.add("a", keyed=True).code == 107
    assert world.add("a", keyed=True, key="x" * 129).code == 107
    assert world.value("select count(*) from counter") == "0"


def test_a_refusal_leaves_nothing_behind_and_the_key_may_be_used_again(world):
    world.start()
    refused = world.add("a", 5, key="k", refuse=409, emit=True)
    assert (refused.code, refused.error["message"]) == (409, "refused as asked")
    assert world.value("select count(*) from counter") == "0"
    assert world.value("select count(*) from outbox") == "0"
    assert world.value("select count(*) from idempotency") == "0"
    assert world.add("a", 6, key="k").data["value"] == 6


def test_duplicates_at_the_same_time_have_one_effect(world):
    world.start(workers=4)
    ids = [world.caller.send("counters.v1.add",
                             {"name": "a", "by": 1, "sql": "select pg_sleep(0.2)"}, key="k")
           for _ in range(4)]
    assert [world.caller.wait(one).data["value"] for one in ids] == [1, 1, 1, 1]
    assert world.value("select value from counter") == "1"


@pytest.mark.parametrize("code", ["40001", "40P01"])
def test_what_postgres_asks_to_repeat_is_repeated(world, code):
    service = world.start()
    answer = world.add("a", 1, sql=f"select fail_first('attempts', 3, '{code}')")
    assert (answer.code, answer.data["value"]) == (0, 1)
    assert world.value("select last_value from attempts") == "4"
    assert service.metric("tx_retries_total") == 3


def test_repeating_has_an_end(world):
    world.start()
    answer = world.add("a", 1, sql="select fail_first('attempts', 1000, '40001')")
    assert answer.code == 100
    assert world.value("select last_value from attempts") == "30"


def test_real_serialization_failures_are_repeated(world):
    world.sql(f"alter database {world.database} set default_transaction_isolation = serializable")
    world.start(workers=4)
    world.add("a", 0)
    ids = [world.caller.send("counters.v1.add",
                             {"name": "a", "by": 1, "sql": "select pg_sleep(0.01)"})
           for _ in range(20)]
    assert [world.caller.wait(one).code for one in ids] == [0] * 20
    assert world.value("select value from counter") == "20"


def test_a_statement_ends_at_the_deadline_of_the_call(world):
    world.start()
    answer = world.add("a", 1, sql="select pg_sleep(30)", timeout=0.5)
    assert answer.code == 1504
    wait_until(lambda: world.value("select count(*) from pg_stat_activity "
                                   "where query like '%pg_sleep(30)%' and state = 'active' "
                                   "and pid <> pg_backend_pid()") == "0", "still running")
    assert world.add("a", 1).data["value"] == 1


def test_a_broken_rule_of_the_schema_is_the_callers_fault_and_a_broken_statement_ours(world):
    world.start()
    assert world.add("a", -5).code == 422
    assert world.add("a", 1, sql="select * from nowhere").code == 100
    assert world.add("a", 1, sql="select 'x'::int").code == 107
    assert world.add("a\0b", 1).code == 107
    assert world.add("a", 1).data["value"] == 1


def test_a_reading_method_cannot_write(world):
    world.start()
    world.add("a", 1)
    answer = world.caller.call("counters.v1.get", {"name": "a", "sql": "delete from counter"})
    assert answer.code == 100
    assert world.caller.call("counters.v1.get", {"name": "a"}).data["value"] == 1


def test_the_trace_of_a_call_stands_in_its_statements_and_nothing_else_does(world):
    world.start()
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    text = "insert into seen (event_id, subject, text) select '', '', query from pg_stat_activity " \
           "where pid = pg_backend_pid()"
    world.add("a", 1, sql=text, traceparent=trace)
    world.add("a", 1, sql=text, traceparent="x'*/; drop table counter; --" + "0" * 27)
    first, second = world.seen()
    assert f"/*traceparent='{trace[:35]}" in first and first.endswith("-01'*/")
    assert "drop" not in second
    assert world.value("select value from counter") == "2"


def test_without_postgres_calls_fail_at_once_and_it_comes_back(breakable):
    service = breakable.start()
    assert breakable.add("a", 1).code == 0
    breakable.postgres.stop()
    assert breakable.add("a", 1).code == 1503
    wait_until(lambda: service.http("/readyz")[0] == 503, "still ready")
    assert "postgresql" in service.http("/readyz")[1]
    breakable.postgres.start()
    service.wait_ready()
    wait_until(lambda: breakable.add("a", 1, key="after").code == 0, "not back")
    assert breakable.value("select value from counter") == "2"


def test_a_service_starts_without_postgres_and_migrates_when_it_comes(breakable):
    breakable.postgres.stop()
    service = breakable.start(ready=False)
    service.wait_log("started")
    assert breakable.add("a", 1).code == 1503
    breakable.postgres.start()
    service.wait_ready()
    assert breakable.add("a", 1).data["value"] == 1


def test_connections_that_died_in_the_pool_are_replaced_unnoticed(world):
    world.start(workers=1)
    assert world.add("a", 1).code == 0
    world.postgres.terminate_backends(world.database)
    assert world.add("a", 1).data["value"] == 2


def test_a_postgres_that_hangs_holds_a_worker_no_longer_than_the_call(breakable):
    with PgProxy(breakable.postgres.port) as proxy:
        breakable.start(url=breakable.postgres.url(breakable.database, proxy.port), workers=1)
        assert breakable.add("a", 1).code == 0
        proxy.freeze()
        assert breakable.add("a", 1, timeout=1.0).code in (1503, 1504)
        proxy.thaw()
        wait_until(lambda: breakable.add("a", 1, key="thawed").code == 0, "not back")


@pytest.mark.parametrize("key", [None, "k"])
def test_a_commit_whose_answer_is_lost_is_looked_up(world, key):
    with PgProxy(world.postgres.port) as proxy:
        service = world.start(url=world.postgres.url(world.database, proxy.port), workers=1)
        assert world.add("a", 1).code == 0
        proxy.lose_answer_to(b"commit", marker=b"lost_one")
        options = {"key": key} if key else {}
        answer = world.add("lost_one", 5, **options)
        assert (answer.code, answer.data) == (0, {"name": "lost_one", "value": 5})
        assert proxy.lost == 1
        assert world.value("select value from counter where name = 'lost_one'") == "5"
        assert service.metric("lost_commits_total") == 1


@pytest.mark.parametrize("key", [None, "k"])
def test_a_commit_that_never_arrived_is_done_again(world, key):
    with PgProxy(world.postgres.port) as proxy:
        service = world.start(url=world.postgres.url(world.database, proxy.port), workers=1)
        assert world.add("a", 1).code == 0
        proxy.lose_request(b"commit", marker=b"lost_one")
        options = {"key": key} if key else {}
        assert world.add("lost_one", 5, **options).data == {"name": "lost_one", "value": 5}
        assert proxy.lost == 1
        assert world.value("select value from counter where name = 'lost_one'") == "5"
        assert service.metric("lost_commits_total") == 1


def test_a_commit_in_doubt_that_cannot_be_looked_up_may_have_happened(breakable):
    with PgProxy(breakable.postgres.port) as proxy:
        breakable.start(url=breakable.postgres.url(breakable.database, proxy.port), workers=1)
        assert breakable.add("a", 1).code == 0
        proxy.lose_answer_to(b"commit", marker=b"lost_one", refuse_after=True)
        assert breakable.add("lost_one", 5, key="k", timeout=1.0).code == 1504
        proxy.accept()
        wait_until(lambda: breakable.add("lost_one", 5, key="k").code == 0, "not back")
        assert breakable.value("select value from counter where name = 'lost_one'") == "5"


def test_the_password_of_the_database_is_never_said(breakable):
    service = breakable.start()
    breakable.add("a", 1)
    breakable.postgres.stop()
    breakable.add("a", 1)
    service.signal(signal.SIGTERM)
    service.wait_exit()
    text = "".join(service.lines)
    assert "only the tests know" not in text and "only%20the%20tests" not in text
    broken = breakable.start(ready=False, url="postgresql://u:only the tests know@[", expected_exit=1)
    broken.wait_exit()
    assert "only the tests know" not in "".join(broken.lines)
