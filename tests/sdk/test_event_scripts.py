"""The official client goes through every scenario on both servers and sees what is written there.
What our own library sees is compared with the same events."""

import pytest

from support import event_scripts
from support.event_scripts import ScriptError, expected, load, names, normal, play

@pytest.mark.parametrize("encoding", ["json", "protobuf"])
@pytest.mark.parametrize("name", names())
def test_centrifuge_js_sees_what_is_written(world_of, server_kind, name, encoding):
    script = load(name)
    assert play(world_of(script), script, encoding=encoding) == expected(script, server_kind)


def test_a_difference_is_noticed(world):
    script = load("publish_is_refused")
    del script["steps"][-2:]
    assert play(world, script) != expected(script, world.server.name)


def test_what_never_comes_is_given_up(world, monkeypatch):
    monkeypatch.setattr(event_scripts, "WAIT_SECONDS", 0.5)
    steps = [{"do": "client"}, {"do": "connect"}, {"wait": {"event": "publication"}}]
    with pytest.raises(ScriptError, match="publication.*did not come.*connected"):
        play(world, {"steps": steps})


def test_a_command_that_cannot_be_done_is_an_error(world):
    with pytest.raises(ScriptError, match="no subscription plain:x"):
        play(world, {"steps": [{"do": "client"}, {"do": "subscribe", "channel": "plain:x"}]})


def test_the_normal_form_groups_sorts_and_folds():
    seen = [{"client": "a", "event": "error", "code": 2}, {"client": "a", "event": "error", "code": 2},
            {"client": "b", "reply": "rpc", "as": "2"}, {"client": "b", "reply": "history", "as": "1"},
            {"client": "a", "event": "connected"}]
    assert normal(seen, False) == {
        "a": {"events": [{"event": "connected"}], "replies": []},
        "b": {"events": [], "replies": [{"reply": "history"}, {"reply": "rpc"}]}}
    assert normal(seen, True)["a"]["events"] == [{"event": "error", "code": 2},
                                                 {"event": "connected"}]
