#!/usr/bin/python3
"""Orders under fire: customers buy and cancel while everything that Wirehub is made of is killed,
paused and started again; afterwards a judge reads the databases, the provider's books and what the
customers saw.  ./dev chaos [--orders N] [--seconds S] [--seed X]

The same seed gives the same faults at the same share of the orders.  Ends with 0 when every
invariant holds; otherwise the logs and what the judge read are kept.
"""

import argparse
import dataclasses
import json
import random
import shutil
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from chaos import checker  # noqa: E402
from chaos.collect import collect  # noqa: E402
from chaos.customers import (CARDS, FIRST_SECONDS, Canary, Customer, Listener,  # noqa: E402
                             Orders)
from chaos.faults import Faults, schedule  # noqa: E402
from chaos.stack import HISTORY_SIZE, Stack, wait_until  # noqa: E402
from support.hub import SANITIZER_MARKS  # noqa: E402

INSTANCES = 2
SHOPPING_SECONDS = 600.0  # beyond the time that was planned for it
FAULT_SECONDS = 15.0  # at most, give or take; orders wait for faults
SETTLE_SECONDS = 300.0
AGREE_SECONDS = 120.0
UNSETTLED = {
    "order": "select (select count(*) from saga where deadline is not null) + "
             "(select count(*) from outbox where sent_at is null)",
    "payment": "select (select count(*) from payment where wish <> 'nothing') + "
               "(select count(*) from outbox where sent_at is null)",
    "user": "select count(*) from outbox where sent_at is null",
}


def say(text):
    print(text, flush=True)


@dataclasses.dataclass
class Plan:
    orders: int = 1000
    seconds: float = 120.0
    seed: int = 1
    customers: int = 20
    faults: int = 90
    binaries: Path = ROOT / "build/release/bin"


@dataclasses.dataclass
class Outcome:
    verdicts: list
    facts: object
    faults: dict  # what was done how often
    crashed: list  # points at which a process died
    directory: Path  # of the logs
    seconds: float

    @property
    def is_good(self):
        return all(verdict.is_good for verdict in self.verdicts)


class Run:
    def __init__(self, plan, stack):
        self.plan = plan
        self.stack = stack
        self.is_over = threading.Event()
        chance = random.Random(f"customers {plan.seed}")
        self.customers = [Customer(stack, chance.random(), self.is_over)
                          for _ in range(plan.customers)]
        victims = [customer.log["user"] for customer in self.customers]
        self.canaries = [Canary(stack, chance.random(), self.is_over, victims)]
        stranger = {"user": "", "creates": [], "cancels": [], "channels": {}, "public": [],
                    "strange": [], "attempts": 0, "connects": 0, "away": []}
        self.stranger = Listener(stack.ws_url, stranger, lambda: None,
                                 self.canaries[0].listener.wishes)
        self.listeners = [self.stranger, *(c.listener for c in self.customers + self.canaries)]
        self.faults = Faults(stack, self.customers,
                             schedule(plan.seed, plan.faults, INSTANCES), say)

    @property
    def logs(self):
        return [listener.log for listener in self.listeners]

    def check(self):
        for customer in self.customers + self.canaries:
            customer.check()

    def shop(self):
        for listener in self.listeners:
            listener.start()
        for listener in self.listeners:
            if not listener.is_connected.wait(FIRST_SECONDS):
                raise TimeoutError(f"not connected: {listener.failure} {listener.log['away'][-3:]}")
        orders = Orders(self.plan.orders, self.plan.seconds)
        self.faults.orders = orders
        self.faults.open_gate()
        for customer in self.customers:
            customer.start_shopping(orders)
        deadline = time.monotonic() + self.plan.seconds + SHOPPING_SECONDS + \
            self.plan.faults * FAULT_SECONDS
        while any(customer.shopper.is_alive() for customer in self.customers):
            self.check()
            self.faults.run_due()
            self.faults.revive()
            if time.monotonic() > deadline:
                self.is_over.set()  # the judge sees what was not answered
            time.sleep(0.05)  # between looks at the progress
        while self.faults.schedule and not self.is_over.is_set():  # of the last orders
            self.faults.run_due()
            self.faults.revive()

    def settle(self):
        """Nobody is hurt any more: everything comes to an end, in bounded time."""
        self.faults.disarm()
        for program in self.stack.programs.values():
            program.wait_ready()
        try:
            wait_until(self.is_settled, "not settled", SETTLE_SECONDS)
        except TimeoutError as error:
            say(str(error))  # the judge says what it is
        for listener in self.listeners:
            listener.cut()

    def is_settled(self):
        self.check()
        self.faults.revive()
        return all(self.stack.postgres.value(query, f"wirehub_{database}") == "0"
                   for database, query in UNSETTLED.items())

    def judge(self):
        """The verdicts, once they are good or time is up: clients have to catch up first."""
        deadline = time.monotonic() + AGREE_SECONDS
        while True:
            self.check()
            facts = self.collect()
            if all(v.is_good for v in checker.check(facts)) or time.monotonic() > deadline:
                break
            time.sleep(0.5)  # between looks of a bounded wait
        for listener in self.listeners:
            listener.is_stopped.set()
        for listener in self.listeners:
            listener.join(FIRST_SECONDS)
        facts = self.collect()
        return facts, checker.check(facts)

    def collect(self):
        return collect(self.stack.postgres, self.logs, self.stack.initial_stock, HISTORY_SIZE)

    def close(self):
        self.is_over.set()
        for listener in self.listeners:
            listener.is_stopped.set()


def logs_are_clean(stack):
    """No sanitizer spoke, if these are sanitized programs, and no log names a card."""
    problems = []
    logs = [program.log_path for program in stack.programs.values()]
    for path in logs:
        text = path.read_text(errors="replace")
        problems += [f"{path}: {mark}" for mark in (*SANITIZER_MARKS, *CARDS) if mark in text]
    return checker.Verdict("the logs are clean", {"logs": len(logs)}, problems)


def run(plan):
    begun = time.monotonic()
    stack = Stack(plan.binaries, INSTANCES)
    one = None
    try:
        one = Run(plan, stack)
        say(f"stack and {plan.customers} customers are ready; logs: {stack.directory}")
        one.shop()
        say("the last order is placed; waiting for everything to settle")
        one.settle()
        facts, verdicts = one.judge()
        verdicts.append(logs_are_clean(stack))
        say(f"dead letters (for a person to look at): {stack.dead_letters()}")
        return Outcome(verdicts, facts, one.faults.counts, one.faults.crashed,
                       stack.directory, time.monotonic() - begun)
    finally:
        if one:
            one.close()
        stack.close()


def report(outcome):
    say("faults: " + ", ".join(f"{count} × {name}" for name, count in
                               sorted(outcome.faults.items())))
    armed = sum(count for name, count in outcome.faults.items()
                if name.startswith("crash") and not name.endswith("postgres"))
    say(f"{len(outcome.crashed)} of {armed} died at their points: "
        f"{' '.join(sorted(set(outcome.crashed)))}")
    for verdict in outcome.verdicts:
        say(str(verdict))
    broken = sum(not verdict.is_good for verdict in outcome.verdicts)
    say(f"{len(outcome.verdicts) - broken} of {len(outcome.verdicts)} invariants hold, "
        f"after {outcome.seconds:.0f} s")


def finish(outcome):
    """Keeps what a failure needs."""
    if outcome.is_good:
        shutil.rmtree(outcome.directory)
        return 0
    path = outcome.directory / "facts.json"
    path.write_text(json.dumps(dataclasses.asdict(outcome.facts)))
    say(f"kept: {path} and the logs beside it")
    return 1


def number(low):
    def parse(text):
        value = float(text) if "." in text else int(text)
        if value < low:
            raise argparse.ArgumentTypeError(f"at least {low}")
        return value
    return parse


def main():
    parser = argparse.ArgumentParser(prog="./dev chaos", description=__doc__.split("\n\n")[0])
    parser.add_argument("--orders", type=number(1), default=1000)
    parser.add_argument("--seconds", type=number(1), default=120,
                        help="over which the orders are spread; faults take their time besides")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2 ** 32))
    parser.add_argument("--customers", type=number(1), default=20)
    parser.add_argument("--faults", type=number(0), default=90,
                        help="at least; each process is killed and paused in any case")
    parser.add_argument("--list", action="store_true", help="show the schedule of the seed")
    options = parser.parse_args()
    say(f"seed {options.seed}")
    if options.list:
        for fault in schedule(options.seed, options.faults, INSTANCES):
            say(str(fault))
        return 0
    outcome = run(Plan(options.orders, options.seconds, options.seed, options.customers,
                       options.faults))
    report(outcome)
    code = finish(outcome)
    if code:
        say(f"again: ./dev chaos --seed {options.seed} --orders {options.orders} "
            f"--seconds {options.seconds} --customers {options.customers} "
            f"--faults {options.faults}")
    return code


if __name__ == "__main__":
    sys.exit(main())
