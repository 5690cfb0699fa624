"""Events out of a service and into it, with real Redis and PostgreSQL, and processes that die."""

import json
import shlex
import signal

import pytest

from db_support import CRASHED, DEAD, NOTES, STREAM
from support.hub import ROOT
from support.service import wait_until

RELAY_POINTS = ["after_commit", "before_publish", "after_publish", "before_mark", "after_mark"]


def values(events):
    return [event["data"]["value"] for event in events]


# Outbox


def test_an_event_leaves_with_its_transaction_as_a_cloudevent(world):
    service = world.start()
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    assert world.add("a", 3, emit=True, traceparent=trace).code == 0
    world.wait_sent()
    [event] = world.events()
    assert event.pop("time").endswith("Z")
    assert event.pop("id") == world.value("select event_id from outbox")
    emitted = event.pop("traceparent")  # a place of its own in the caller's trace
    assert emitted[:35] == trace[:35] and emitted == world.value("select traceparent from outbox")
    assert event == {"specversion": "1.0", "source": "/wirehub/counters",
                     "type": "counter.changed.v1", "subject": "a",
                     "datacontenttype": "application/json", "data": {"name": "a", "value": 3}}
    assert world.channel_events() == world.events()
    assert service.metric("outbox_sent_total") == 1


def test_events_leave_in_the_order_of_their_transactions(world):
    world.start(workers=4)
    ids = [world.caller.send("counters.v1.add", {"name": "a", "by": 1, "emit": True})
           for _ in range(300)]
    assert all(world.caller.wait(one).code == 0 for one in ids)
    world.wait_sent()
    assert values(world.events()) == list(range(1, 301))
    assert values(world.channel_events()) == list(range(1, 301))


@pytest.mark.parametrize("point", RELAY_POINTS)
def test_a_crash_of_the_relay_loses_repeats_and_reorders_nothing(world, point):
    service = world.start(crash_at=f"{point}:2", workers=1)
    assert world.add("a", 1, emit=True, key="first").code == 0  # passes the point once
    world.wait_sent()
    sent = [world.caller.send("counters.v1.add", {"name": "a", "by": 1, "emit": True}, key=f"k{i}")
            for i in range(20)]
    assert service.wait_exit() == CRASHED
    world.start(workers=1)
    for i, _ in enumerate(sent):  # whoever had no answer asks again under the same key
        assert world.add("a", 1, emit=True, key=f"k{i}").code == 0
    world.wait_sent()
    assert world.value("select value from counter") == "21"
    assert values(world.events()) == list(range(1, 22))
    assert values(world.channel_events()) == list(range(1, 22))


def test_two_relays_bring_each_event_out_once_and_in_order(world):
    services = [world.start(workers=2), world.start(workers=2)]
    ids = [world.caller.send("counters.v1.add", {"name": "a", "by": 1, "emit": True})
           for _ in range(300)]
    assert all(world.caller.wait(one).code == 0 for one in ids)
    world.wait_sent()
    assert values(world.events()) == list(range(1, 301))
    assert values(world.channel_events()) == list(range(1, 301))
    wait_until(lambda: sum(one.metric("outbox_sent_total") for one in services) >= 300, "counted")
    # Redis would drop what both brought out; neither did so.
    assert sum(one.metric("outbox_sent_total") for one in services) == 300


def test_a_transaction_that_commits_late_is_not_passed_over(world):
    world.start(workers=2)
    slow = world.caller.send("counters.v1.add", {
        "name": "slow", "by": 1, "emit": True,
        "sql": "insert into outbox (event_id, aggregate, type, payload, channels) select "
               "gen_random_uuid(), '', 'counter.changed.v1', '{\"data\":{\"value\":99}}', '[]' "
               "from pg_sleep(0.5)"})
    assert world.add("fast", 1, emit=True).code == 0
    wait_until(lambda: len(world.events()) == 1, "the fast one")
    assert world.caller.wait(slow).code == 0
    world.wait_sent()
    assert sorted(values(world.events())) == [1, 1, 99]


def test_ids_that_become_visible_out_of_order_are_all_sent(world):
    """The later id is committed and sent before the earlier one is visible at all."""
    world.start(workers=2)
    row = ("insert into outbox (event_id, aggregate, type, payload, channels) values "
           "(gen_random_uuid(), '', 'counter.changed.v1', '{\"data\":{\"value\":0}}', '[]')")
    slow = world.caller.send("counters.v1.add", {"name": "s", "by": 1, "emit": False,
                                                 "sql": f"with x as ({row} returning id) "
                                                        "select id, pg_sleep(0.5) from x"})
    assert world.add("fast", 1, emit=True).code == 0
    wait_until(lambda: values(world.events()) == [1], "the later id")
    assert world.caller.wait(slow).code == 0
    wait_until(lambda: values(world.events()) == [1, 0], "the earlier id")


def test_events_wait_for_redis_and_go_out_when_it_is_back(world):
    service = world.start()
    assert world.add("a", 1, emit=True).code == 0
    world.wait_sent()
    world.redis.restart()
    world.caller.connect()
    service.wait_ready()
    wait_until(lambda: world.caller.alive("counters"), "not alive")
    assert world.add("a", 1, emit=True).code == 0
    world.wait_sent()
    assert values(world.events()) == [2]
    assert values(world.channel_events()) == [2]


def test_scripts_that_redis_lost_are_loaded_by_the_rule(world):
    world.start()
    assert world.add("a", 1, emit=True).code == 0
    world.wait_sent()
    run = world.command("GET", "wh:run")
    world.command("SCRIPT", "FLUSH")
    world.command("DEL", "wh:run")
    assert world.add("a", 1, emit=True).code == 0
    world.wait_sent()
    assert values(world.events()) == [1, 2]
    assert values(world.channel_events()) == [1, 2]
    assert world.command("GET", "wh:run") == run


def test_sent_events_and_old_notes_are_swept(world):
    world.start()
    world.add("a", 1, emit=True, key="old")
    world.add("a", 1)
    world.wait_sent()
    world.sql("update outbox set sent_at = now() - interval '25 hours'")
    world.sql("update idempotency set created_at = now() - interval '25 hours'")
    world.sql("update commit_note set created_at = now() - interval '25 hours'")
    world.sql("insert into inbox values ('counters', 'x', now() - interval '8 days')")
    world.start()  # sweeps soon after its start
    for table in ("outbox", "idempotency", "commit_note", "inbox"):
        wait_until(lambda table=table: world.value(f"select count(*) from {table}") == "0", table)


# Consumers


def test_an_event_from_anybody_is_consumed_once(world):
    service = world.start()
    event_id = world.note("one")
    world.wait_seen(["one"])
    world.note("one again", event_id=event_id)
    world.note("two")
    world.wait_seen(["one", "two"])
    wait_until(lambda: service.metric("events_consumed_total", stream=NOTES, outcome="done") == 2
               and service.metric("events_consumed_total", stream=NOTES, outcome="duplicate") == 1,
               "not counted")
    assert world.command("XPENDING", NOTES, "counters")[0] == 0


def test_a_group_begins_with_what_was_there_before_it(world):
    world.note("early")
    world.start()
    world.wait_seen(["early"])


def test_types_that_nobody_consumes_are_acknowledged(world):
    world.start()
    world.command("XADD", NOTES, "*", "event", json.dumps(
        {"specversion": "1.0", "id": "1", "source": "/t", "type": "note.other.v1"}))
    world.note("known")
    world.wait_seen(["known"])
    assert world.command("XPENDING", NOTES, "counters")[0] == 0


@pytest.mark.parametrize("words", [
    ("event", "{"), ("event", "[]"), ("event", '{"specversion":"1.0"}'), ("other", "1"),
    ("event", b"\xff\xfe"), ("event", "[" * 1000),
    ("event", '{"specversion":"1.0","id":"","source":"/t","type":"note.made.v1"}'),
    ("event", '{"specversion":"0.3","id":"1","source":"/t","type":"note.made.v1"}'),
    ("event", '{"specversion":"1.0","id":"1","source":"/t","type":"note.made.v1","time":"soon"}'),
])
def test_poison_becomes_a_dead_letter_at_once_and_others_go_on(world, words):
    world.start()
    world.note("before")
    world.command("XADD", NOTES, "*", *words)
    world.note("after")
    world.wait_seen(["before", "after"])
    [letter] = world.command("XRANGE", DEAD, "-", "+")
    assert b"reason" in letter[1]
    assert world.command("XPENDING", NOTES, "counters")[0] == 0


def test_an_event_that_fails_is_a_dead_letter_after_five_deliveries(world):
    service = world.start()
    event_id = world.note("bad", refuse=422)
    world.note("good", subject="other")
    world.wait_seen(["good"])
    wait_until(lambda: world.command("XLEN", DEAD) == 1, "no dead letter", timeout=40)
    [letter] = world.stream(DEAD)
    assert json.loads(letter["event"])["id"] == event_id
    assert letter["deliveries"] == "5" and "422" in letter["reason"]
    assert letter["stream"] == NOTES
    assert len(service.find("event_failed")) == 5
    assert world.seen() == ["good"]
    assert world.value("select count(*) from inbox") == "1"


def test_later_events_of_a_subject_wait_for_the_one_that_fails(world):
    world.start()
    world.note("1", subject="s", sql="select fail_first('attempts', 1, 'XX000')")
    world.note("2", subject="s")
    world.note("3", subject="t")
    world.note("4", subject=None)
    world.note("5", subject="s")
    world.wait_seen(["1", "2", "3", "4", "5"])
    order = world.seen()
    assert [text for text in order if text in "125"] == ["1", "2", "5"]
    assert order[:2] == ["3", "4"]


def test_a_crash_between_the_effect_and_its_acknowledgement_repeats_nothing(world):
    service = world.start(crash_at="after_event")
    world.note("one")
    world.note("two")
    assert service.wait_exit() == CRASHED
    assert world.seen() == ["one"]
    world.start()
    world.wait_seen(["one", "two"])
    assert world.seen() == ["one", "two"]


def test_an_event_in_the_hands_of_a_process_that_died_is_taken_over_in_order(world):
    service = world.start(crash_at="before_commit")
    world.note("one")
    world.note("two")
    assert service.wait_exit() == CRASHED
    assert world.seen() == []
    world.start()
    world.wait_seen(["one", "two"])
    assert world.seen() == ["one", "two"]


def test_a_fault_point_can_be_that_of_one_method_alone(world):
    service = world.start(crash_at="before_commit@counters.v1.add_keyed")
    world.note("one")
    world.wait_seen(["one"])
    assert world.add("a").data["value"] == 1
    world.caller.send("counters.v1.add_keyed", {"name": "a", "by": 1}, key="k")
    assert service.wait_exit() == CRASHED


def test_of_two_instances_one_consumes_and_the_other_takes_over(world):
    first = world.start()
    world.note("one")
    world.wait_seen(["one"])
    second = world.start()
    for i in range(20):
        world.note(f"n{i}")
    wait_until(lambda: len(world.seen()) == 21, "all")
    assert world.seen() == ["one"] + [f"n{i}" for i in range(20)]
    assert second.metric("events_consumed_total", stream=NOTES, outcome="done") == 0
    first.signal(signal.SIGTERM)  # gives the lease back
    assert first.wait_exit() == 0
    world.note("last")
    wait_until(lambda: world.seen()[-1] == "last", "not taken over")
    assert second.metric("events_consumed_total", stream=NOTES, outcome="done") == 1


def test_a_holder_that_hung_can_commit_nothing_after_it_was_replaced(world):
    first = world.start()
    world.note("one")
    world.wait_seen(["one"])
    world.note("two", sql="select pg_sleep(1)")
    wait_until(lambda: world.value("select count(*) from pg_stat_activity where state = 'active' "
                                   "and query like '%pg_sleep(1)%' and pid <> pg_backend_pid()")
               == "1", "not in the handler")
    first.signal(signal.SIGSTOP)  # in the middle of a transaction, with locks
    world.start(ready=False)
    wait_until(lambda: "two" in world.seen(), "not taken over", timeout=40)
    first.signal(signal.SIGCONT)
    world.note("three")
    world.wait_seen(["one", "two", "three"])
    assert world.value("select count(*) from inbox") == "3"


def test_postgres_being_away_is_no_failure_of_the_event(breakable):
    service = breakable.start()
    breakable.note("one")
    breakable.wait_seen(["one"])
    breakable.postgres.stop()
    breakable.note("two")
    wait_until(lambda: service.http("/readyz")[0] == 503, "still ready")
    breakable.postgres.start()
    breakable.wait_seen(["one", "two"])
    assert breakable.command("XLEN", DEAD) == 0
    assert not service.find("event_failed")


def test_a_redis_that_comes_back_empty_is_consumed_again(world):
    service = world.start()
    world.note("one")
    world.wait_seen(["one"])
    world.redis.restart()
    world.caller.connect()
    service.wait_ready()
    world.note("two")
    world.wait_seen(["one", "two"])


def test_a_group_that_was_lost_is_made_again_and_repeats_nothing(world):
    world.start()
    world.note("one")
    world.wait_seen(["one"])
    world.command("XGROUP", "DESTROY", NOTES, "counters")
    world.note("two")
    world.wait_seen(["one", "two"])


def test_the_lag_is_a_metric(world):
    service = world.start()
    world.note("one")
    world.wait_seen(["one"])
    wait_until(lambda: service.metric("events_lag", stream=NOTES) == 0, "no lag known")
    assert STREAM != NOTES


def test_the_account_of_the_page_is_enough_for_a_service(world):
    page = (ROOT / "docs/REDIS.md").read_text().splitlines()
    line = next(x for x in page if x.startswith("    $ redis-cli ACL SETUSER core "))
    words = shlex.split(line.removeprefix("    $ redis-cli "))
    world.command(*words)
    world.redis.cli("ACL", "LOG", "RESET")
    service = world.start(options={"redis.user": "core"},
                          env={"WIREHUB_COUNTERS_REDIS_PASSWORD": "a-fourth-password"})
    assert world.add("a", 1, emit=True).code == 0
    world.wait_sent()
    world.note("bad", refuse=422, sql="select 1")
    world.command("XADD", NOTES, "*", "event", "poison")
    world.note("good", subject="other")
    world.wait_seen(["good"])
    wait_until(lambda: world.command("XLEN", DEAD) == 1, "no dead letter")
    wait_until(lambda: len(service.find("event_failed")) >= 2, "not tried again")
    service.signal(signal.SIGTERM)
    assert service.wait_exit() == 0
    assert world.redis.cli("ACL", "LOG") in (b"", b"\n")
