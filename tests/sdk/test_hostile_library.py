"""libwirehub against servers that do what no server may: it ends up where it should, and never ends."""

import pytest

from support.hostile_run import is_right, judge
from support.hostile_server import BEHAVIOURS
from test_library import PROGRAM

MODES = {"json": "threaded", "protobuf": "dispatch", "msgpack": "loop"}


@pytest.mark.parametrize("encoding", sorted(MODES))
def test_hostile_servers_bring_it_where_it_should_be(encoding):
    names = [name for name, row in BEHAVIOURS.items() if row.encoding == encoding]
    results = judge(names, command=(PROGRAM, MODES[encoding]), at_once=15)
    wrong = {name: (outcome, BEHAVIOURS[name].expect) for name, (outcome, _) in results.items()
             if not is_right(name, outcome)}
    assert not wrong
