"""The schema of a service: brought up to date at its start and by the verb."""

import os
import subprocess

from db_support import BINARY
from support.hub import SANITIZER_MARKS
from support.service import wait_until

CORE, OWN = ["core_0001_core"], ["0001_counter", "0002_faults"]


def migrate(url):
    done = subprocess.run([str(BINARY), "migrate", "--log.format=json"], capture_output=True,
                          text=True, timeout=60, check=False,
                          env={"PATH": os.environ["PATH"], "WIREHUB_COUNTERS_DATABASE_URL": url})
    text = done.stdout + done.stderr
    assert not any(mark in text for mark in SANITIZER_MARKS), text
    assert "only the tests know" not in text and "only%20the" not in text
    return done.returncode, text


def steps(world):
    return [row[0] for row in world.sql("select name from schema_migration order by applied_at")]


def test_the_verb_runs_the_steps_in_order_and_once(world):
    assert migrate(world.url)[0] == 0
    assert steps(world) == CORE + OWN
    before = world.sql("select * from schema_migration order by name")
    assert migrate(world.url)[0] == 0
    assert world.sql("select * from schema_migration order by name") == before


def test_two_that_start_together_do_each_step_once(world):
    first = world.start(ready=False)
    second = world.start(ready=False)
    first.wait_ready()
    second.wait_ready()
    assert sorted(steps(world)) == sorted(CORE + OWN)
    assert len(first.find("run") + second.find("run")) == 3


def test_a_step_that_was_changed_is_a_clear_error(world):
    migrate(world.url)
    world.sql("update schema_migration set checksum = 'x' where name = '0001_counter'")
    code, text = migrate(world.url)
    assert code == 1
    assert "0001_counter" in text and "add a new migration instead" in text
    service = world.start(ready=False)
    service.wait_log("changed")
    wait_until(lambda: "migration cannot be done" in service.http("/readyz")[1], "no reason")
    assert world.add("a", 1).code == 1503


def test_a_step_that_fails_is_rolled_back_and_later_ones_do_not_run(world):
    world.sql("create table seen (x int)")  # the second table of 0001_counter
    code, text = migrate(world.url)
    assert code == 1 and "0001_counter" in text
    assert steps(world) == CORE
    assert world.value("select to_regclass('counter') is null") == "t"
    world.sql("drop table seen")
    assert migrate(world.url)[0] == 0
    assert steps(world) == CORE + OWN


def test_an_older_program_runs_on_a_newer_schema_and_says_so(world):
    migrate(world.url)
    world.sql("insert into schema_migration (name, checksum) values ('0003_future', 'x')")
    service = world.start()
    assert service.wait_log("newer_schema")["migration"] == "0003_future"
    assert world.add("a", 1).code == 0


def test_a_table_that_is_busy_is_not_waited_for_long(world):
    migrate(world.url)
    world.sql("delete from schema_migration where name = '0001_counter'; drop table seen; "
              "drop table counter; drop sequence attempts; "
              "delete from schema_migration where name = '0002_faults'; "
              "drop function fail_first")
    holder = subprocess.Popen(
        ["sh", "-c", 'exec "$0" "$@"', str(world.postgres.bin / "psql"), "-X", world.url, "-c",
         "begin; lock table schema_migration in exclusive mode; select pg_sleep(3); commit"],
        stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: world.value("select count(*) from pg_locks where granted and mode = "
                                       "'ExclusiveLock' and relation = "
                                       "'schema_migration'::regclass") == "1", "no lock")
        code, text = migrate(world.url)
        assert code == 0, text
        assert "lock timeout" in text
        assert sorted(steps(world)) == sorted(CORE + OWN)
    finally:
        holder.wait(30)
