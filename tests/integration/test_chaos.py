"""A short run of ./dev chaos: each process killed at least once, a fixed seed."""

import shutil

from chaos.run_chaos import Plan, report, run
from support.hub import binary_path

SEED = 20260


def test_orders_survive_the_death_of_every_process():
    outcome = run(Plan(orders=60, seconds=20, seed=SEED, customers=6, faults=30,
                       binaries=binary_path().parent))
    report(outcome)
    for target in ("redis", "postgres", "worker", *(f"{service}-{number}" for number in (1, 2)
                                                    for service in ("user", "order", "payment"))):
        assert outcome.faults[f"kill {target}"] >= 1
    assert outcome.is_good, "\n".join(str(v) for v in outcome.verdicts if not v.is_good)
    shutil.rmtree(outcome.directory)
