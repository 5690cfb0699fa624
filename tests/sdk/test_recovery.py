"""Every offset counted while network, server, Redis and program go away and come back; and the judge
who counts them, given notes that are wrong in one place.

The seed is fixed so that two runs of the suite do the same; WIREHUB_RECOVERY_SEED is another one.
./dev chaos sdk runs longer.
"""

import os

import pytest

from support.centrifugo import Unavailable
from support.recovery_judge import Channel, Tally, Unfair, judge, place_of
from support.recovery_run import OF_A_GROUP, OF_THE_SERVER, recover

SEED = int(os.environ.get("WIREHUB_RECOVERY_SEED") or 6)


def test_every_offset_comes_once_and_in_order_or_its_loss_is_told(server_kind):
    try:
        outcome = recover(server_kind, SEED)
    except Unavailable as problem:
        pytest.skip(f"no Centrifugo: {problem}")
    print(outcome)
    assert set(outcome.faults) == {*OF_A_GROUP, *OF_THE_SERVER}
    for (client, channel), tally in outcome.tallies.items():
        assert tally.publications > 0, f"{client} heard nothing of {channel}"
        if channel.startswith("short"):
            continue
        assert tally.recovered > 0, f"{client} never had to recover {channel}"
        assert tally.lost == 0, f"{client} was told of a loss in {channel}, which keeps everything"


# The judge

KEEPS_10 = Channel("c", 10)


def subscribed(offset, *, epoch="e", was_recovering=True, recovered=True, **more):
    return {"event": "subscribed", "epoch": epoch, "offset": offset, "recoverable": True,
            "was_recovering": was_recovering, "recovered": recovered, **more}


def begun(offset=0, **more):
    return subscribed(offset, was_recovering=False, recovered=False, **more)


def lost(offset, **more):
    return subscribed(offset, recovered=False, **more)


def pubs(*offsets, **more):
    return [{"event": "publication", "offset": offset, "data": {"n": offset}, **more}
            for offset in offsets]


def read(notes, top=("e", 4), everything=None, acknowledged=None):
    return judge(notes, KEEPS_10, {} if everything is None else everything, acknowledged or {}, top)


def test_a_recovery_without_a_gap_is_fair():
    notes = [begun(), *pubs(1, 2), subscribed(2), *pubs(3, 4)]
    assert read(notes) == Tally(publications=4, recovered=1)
    assert place_of(notes) == ("e", 4)


def test_a_loss_of_more_than_is_kept_or_into_another_epoch_is_fair():
    notes = [begun(), *pubs(1), lost(12), *pubs(13), lost(3, epoch="f"),
             {**pubs(4)[0], "data": {"n": 99}}]
    assert read(notes, ("f", 4)) == Tally(publications=3, lost=2)


def test_what_a_lossy_reply_brings_is_the_place_to_go_on_from():
    assert read([begun(), *pubs(1), lost(20), *pubs(18, 19, 20)], ("e", 20)).lost == 1
    with pytest.raises(Unfair, match="20 after 18"):
        read([begun(), *pubs(1), lost(20), *pubs(18, 20)], ("e", 20))


def test_a_place_is_that_of_the_last_publication_or_of_where_it_began_anew():
    assert place_of([begun(7)]) == ("e", 7)
    assert place_of([begun(7), subscribed(9)]) == ("e", 7)
    assert place_of([begun(7), *pubs(8), subscribed(8), subscribed(8)]) == ("e", 8)
    assert place_of([]) is None


@pytest.mark.parametrize("what, notes", [
    ("4 after 2", [begun(), *pubs(1, 2, 4)]),
    ("2 after 2", [begun(), *pubs(1, 2, 2)]),
    ("2 after 3", [begun(), *pubs(1, 2, 3, 2, 4)]),
    ("4 after 2", [begun(), *pubs(1, 2), subscribed(2), *pubs(4)]),
    ("did not ask", [begun(), *pubs(1, 2), begun(4)]),
    ("what it never had", [subscribed(0), *pubs(1, 2, 3, 4)]),
    ("lost, and only 2 of 10", [begun(), *pubs(1, 2), lost(4)]),
    ("recovered into f", [begun(), *pubs(1, 2), subscribed(2, epoch="f"), *pubs(3, 4)]),
    ("recovered to 2", [begun(), *pubs(1, 2, 3, 4), subscribed(2)]),
    ("before subscribed", pubs(1, 2, 3, 4)),
    ("16 after a loss", [begun(), *pubs(1), lost(14), *pubs(16)]),
    ("at 3 of e in the end", [begun(), *pubs(1, 2, 3)]),
    ("not recoverable", [{**begun(), "recoverable": False}]),
], ids=["gap", "twice", "backwards", "gap in a recovery", "a silent new begin", "recovery of nothing",
        "a loss without need", "another epoch", "a recovery to before", "nobody subscribed",
        "a gap behind a loss", "an end too early", "no recovery"])
def test_it_is_unfair(what, notes):
    with pytest.raises(Unfair, match=what):
        read(notes)


def test_a_payload_that_others_saw_elsewhere_is_unfair():
    everything = {}
    read([begun(), *pubs(1, 2, 3, 4)], everything=everything)
    other = [begun(), *pubs(1, 2), {**pubs(3)[0], "data": {"n": 7}}]
    with pytest.raises(Unfair, match="payload 7 at 3, where others saw 3"):
        read(other, everything=everything)
    with pytest.raises(Unfair, match="payload 1 at 1, where others saw 5"):
        read([begun(), *pubs(1)], acknowledged={("c", "e", 1): 5})


@pytest.mark.parametrize("stored", [["e", 2], ["f", 1], None], ids=["too early", "epoch", "none"])
def test_a_stored_position_that_is_not_what_was_delivered_is_unfair(stored):
    notes = [begun(stored=None), *pubs(1, stored=["e", 0]), *pubs(2, stored=stored)]
    with pytest.raises(Unfair, match="position|stored"):
        read(notes)


def test_after_a_loss_the_library_says_where_it_goes_on():
    notes = [begun(stored=None), *pubs(1, stored=["e", 0]), lost(20, stored=["e", 1]),
             *pubs(18, stored=["e", 17])]
    assert read(notes, ("e", 18)).lost == 1
    notes[-1]["stored"] = ["e", 20]
    with pytest.raises(Unfair, match="18 after 20"):
        read(notes, ("e", 18))
