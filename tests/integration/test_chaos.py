"""A short run of ./dev chaos: each process killed at least once, a fixed seed."""

import shutil

import pytest

from chaos.faults import FIRST_POINTS, must_haves, schedule
from chaos.run_chaos import Plan, report, run
from support.hub import binary_path

SEED = 20260


@pytest.mark.parametrize("seed", [0, 1, 2 ** 32 - 1])
def test_a_seed_is_a_schedule_that_spares_nobody(seed):
    made = schedule(seed, 30, 2)
    assert made == schedule(seed, 30, 2) != schedule(seed + 1, 30, 2)
    assert sorted(fault.at for fault in made) == [fault.at for fault in made]
    done = [(fault.target, fault.action) for fault in made]
    assert all(done.count(one) >= must_haves(2).count(one) for one in must_haves(2))
    met = {(fault.target[:-2], fault.point.split(":")[0]) for fault in made if fault.point}
    assert met >= set(FIRST_POINTS)


def test_orders_survive_the_death_of_every_process():
    outcome = run(Plan(orders=60, seconds=20, seed=SEED, customers=6, faults=30,
                       binaries=binary_path().parent))
    report(outcome)
    for target in ("redis", "postgres", "worker", *(f"{service}-{number}" for number in (1, 2)
                                                    for service in ("user", "order", "payment"))):
        assert outcome.faults[f"kill {target}"] >= 1
    assert outcome.is_good, "\n".join(str(v) for v in outcome.verdicts if not v.is_good)
    shutil.rmtree(outcome.directory)
