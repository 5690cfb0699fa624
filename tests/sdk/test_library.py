"""libwirehub goes through every scenario in every mode, on our hub and on a real Centrifugo, and sees
what the official JavaScript client saw: the same events in the same order."""

import os
import subprocess
from pathlib import Path

import pytest

from support import memcheck
from support.event_scripts import expected, load, names, play

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("WIREHUB_TEST_EVENT_SCRIPT", str(ROOT / "build/debug/bin/event_script"))
# The three modes on both servers; foreign loops and MessagePack, which is Wirehub's own, on our hub.
EVERYWHERE = [("threaded", "json"), ("dispatch", "json"), ("loop", "json"), ("threaded", "protobuf")]
ON_OUR_HUB = [("uv", "json"), ("loop", "protobuf"), ("dispatch", "msgpack"), ("ev", "msgpack"),
              ("glib", "protobuf")]


def sees_what_is_written(world_of, server_kind, name, mode, encoding):
    script = load(name)
    if encoding not in script.get("encodings", [encoding]):
        pytest.skip(f"the scenario is not for {encoding}")
    seen = play(world_of(script), script, command=(PROGRAM, mode), encoding=encoding)
    assert seen == expected(script, server_kind)


@pytest.mark.parametrize("mode,encoding", EVERYWHERE, ids=["-".join(way) for way in EVERYWHERE])
@pytest.mark.parametrize("name", names())
def test_it_sees_what_the_official_client_sees(world_of, server_kind, name, mode, encoding):
    sees_what_is_written(world_of, server_kind, name, mode, encoding)


@pytest.mark.parametrize("server_kind", ["hub"], indirect=True, scope="session")
@pytest.mark.parametrize("mode,encoding", ON_OUR_HUB, ids=["-".join(way) for way in ON_OUR_HUB])
@pytest.mark.parametrize("name", names())
def test_so_it_does_on_every_loop_and_in_messagepack(world_of, server_kind, name, mode, encoding):
    sees_what_is_written(world_of, server_kind, name, mode, encoding)


def test_an_unknown_mode_is_refused():
    done = subprocess.run([PROGRAM, "sideways"], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2 and "usage" in done.stderr


# Without sanitizers, on one thread: what they do not see is memory of libwebsockets and OpenSSL.
PLAIN_PROGRAM = ROOT / "build/release/bin/event_script"
def memcheck_finds_nothing(world, script, server_kind, mode, log):
    if not PLAIN_PROGRAM.exists():
        pytest.skip("no event_script of the release build")
    seen = play(world, script, command=memcheck.around(log, PLAIN_PROGRAM, mode), encoding="json")
    assert seen == expected(script, server_kind)
    assert memcheck.complaints(log) == ""


@pytest.mark.parametrize("name", ["publications", "cut_and_recover"])
def test_memcheck_finds_nothing_in_a_pumped_loop(world_of, server_kind, name, tmp_path):
    script = load(name)
    memcheck_finds_nothing(world_of(script), script, server_kind, "loop", tmp_path / "memcheck")


@pytest.mark.parametrize("server_kind", ["hub"], indirect=True, scope="session")
@pytest.mark.parametrize("mode", ["uv", "ev", "glib"])
@pytest.mark.parametrize("name", ["cut_and_recover", "two_clients"])
def test_memcheck_finds_nothing_in_a_foreign_loop(world_of, server_kind, name, mode, tmp_path):
    script = load(name)
    memcheck_finds_nothing(world_of(script), script, server_kind, mode, tmp_path / "memcheck")
