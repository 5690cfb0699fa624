"""What goes wrong in a run, and when: made from a seed alone, so that a seed is a schedule.

A fault is due when its share of the orders has been answered, so slow machines get the same ones.
Each mends itself after its time.
"""

import os
import random
import signal
import time
from dataclasses import dataclass

from chaos.stack import is_ready

SERVICES = ("user", "order", "payment")
# What the threads of a service are at when they can be killed (services/core/fault.h).
WORK = {
    "user": ["users.v1.update"],
    "order": ["orders.v1.create", "orders.v1.cancel", "deadlines", "payment.authorized.v1",
              "payment.declined.v1", "payment.captured.v1", "payment.voided.v1",
              "payment.refunded.v1", "order.created.v1", "order.confirmed.v1",
              "order.cancelled.v1"],
    "payment": ["payment.requested.v1", "payment.void_requested.v1", "payment.refund_requested.v1",
                "order.confirmed.v1", "authorize", "capture", "void", "refund"],
}
# In every run, however short: what was done outside, and nobody here knows yet.
FIRST_POINTS = [("order", "after_publish"), ("payment", "after_publish"),
                ("payment", "after_provider@capture"), ("order", "after_commit@orders.v1.create"),
                ("order", "after_event@payment.authorized.v1")]
OPERATIONS = ("authorize", "capture", "void", "refund")
POINT_SECONDS = 4.0  # how long a process is waited for to come to its point; later is fine too
RELAY_POINTS = ("before_publish", "after_publish", "before_mark", "after_mark")


def points_of(service):
    """Every arrow of what it does, on both sides of its COMMIT."""
    points = list(RELAY_POINTS)
    for what in WORK[service]:
        points += [f"before_commit@{what}", f"after_commit@{what}"]
        if what in OPERATIONS:
            points += [f"after_claim@{what}", f"after_provider@{what}"]
        elif what.endswith(".v1"):
            points.append(f"after_event@{what}")
    return points


@dataclass(frozen=True)
class Fault:
    at: float  # share of the orders
    target: str  # "redis", "postgres", "worker", "hub", "order-1", … or "customer"
    action: str  # kill, stop (politely), pause, cut, or crash: a start with a fault point
    seconds: float = 0.0  # away or hanging
    point: str = ""

    def __str__(self):
        what = f" {self.point}" if self.point else ""
        return f"{self.at:6.1%}  {self.action} {self.target}{what} for {self.seconds:.2f} s"


def must_haves(instances):
    """Each process at least once, in each way that it can go."""
    services = [f"{service}-{number}" for service in SERVICES
                for number in range(1, instances + 1)]
    targets = [("redis", "kill"), ("redis", "pause"), ("postgres", "kill"), ("postgres", "crash"),
               ("postgres", "stop"), ("worker", "kill"), ("worker", "kill"), ("worker", "pause"),
               ("hub", "stop")]
    for number, service in enumerate(services):
        targets += [(service, "kill"), (service, ("pause", "stop")[number % 2])]
    return targets


def schedule(seed, count, instances):
    """At least the must-haves, then crashes at points, cuts and more of the same up to `count`."""
    chance = random.Random(f"faults {seed}")
    faults = must_haves(instances)
    points = [(service, point) for service in SERVICES for point in points_of(service)
              if (service, point) not in FIRST_POINTS]
    chance.shuffle(points)
    points = [(f"{service}-{chance.randint(1, instances)}", point)
              for service, point in points + FIRST_POINTS]
    pool = must_haves(instances)
    while len(faults) < count:
        if points:
            faults.append(points.pop())
        else:
            faults.append(chance.choice(pool))
    chance.shuffle(faults)
    made = []
    for number, (target, action) in enumerate(faults):
        is_point = "@" in action or action in RELAY_POINTS
        longest = 2.0 if action == "pause" else 1.0
        made.append(Fault(at=0.03 + 0.92 * number / len(faults), target=target,
                          action="crash" if is_point else action,
                          seconds=round(chance.uniform(0.1, longest), 2),
                          point=f"{action}:{chance.choice((1, 1, 2))}" if is_point else ""))
        if number % 3 == 0:
            made.append(Fault(at=made[-1].at, target="customer", action="cut",
                              seconds=0.0, point=str(chance.randrange(10 ** 6))))
    return made


class Faults:
    """Carries a schedule out.  `counts` is what happened."""

    def __init__(self, stack, customers, made, say):
        self.orders = None  # set when they begin
        self.stack = stack
        self.customers = customers
        self.schedule = list(made)
        self.counts = {}
        self.armed = {}  # program -> point at which it is to die
        self.crashed = []  # points at which one did
        self.say = say

    def open_gate(self):
        """Orders as far as the next fault: each fault gets its share of them to meet."""
        share = self.schedule[0].at if self.schedule else 1.0
        self.orders.gate = share + 1 / self.orders.count

    def run_due(self):
        """The next fault, if its time has come."""
        if not self.schedule or self.schedule[0].at > self.orders.progress:
            return
        fault = self.schedule.pop(0)
        self.say(str(fault))
        if fault.action != "crash":
            self.open_gate()
        self.carry_out(fault)
        self.open_gate()
        key = f"{fault.action} {fault.target}"
        self.counts[key] = self.counts.get(key, 0) + 1

    def carry_out(self, fault):
        if fault.target == "customer":
            self.customers[int(fault.point) % len(self.customers)].listener.cut()
        elif fault.target == "redis":
            self.strike_redis(fault)
        elif fault.target == "postgres":
            self.strike_postgres(fault)
        elif fault.target == "worker":
            self.strike_worker(fault)
        else:
            self.strike_program(self.stack.programs[fault.target], fault)

    def strike_redis(self, fault):
        redis = self.stack.redis
        if fault.action == "pause":
            redis.stop()
            time.sleep(fault.seconds)
            redis.cont()
        else:
            redis.kill()
            time.sleep(fault.seconds)
            redis.restart()

    def strike_postgres(self, fault):
        postgres = self.stack.postgres
        if fault.action == "kill":  # the postmaster alone: its children notice by themselves
            postgres.process.kill()
            postgres.process.wait()
        elif fault.action == "crash":
            postgres.kill()
        else:
            postgres.stop()
        time.sleep(fault.seconds)
        for attempt in range(50):  # until the last child of a killed one has let go
            try:
                postgres.start()
                return
            except RuntimeError:
                if attempt == 49:
                    raise
                time.sleep(0.2)

    def strike_worker(self, fault):
        pids = self.stack.hub.worker_pids()
        if not pids:
            return  # the supervisor is starting them
        pid = pids[len(fault.point) % len(pids)]
        try:
            if fault.action == "pause":
                os.kill(pid, signal.SIGSTOP)
                time.sleep(fault.seconds)
                os.kill(pid, signal.SIGCONT)
            else:
                os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it went by itself

    def arm(self, program, fault):
        """Started so that it does what only one instance of a service does, and dies at its point.
        The others then need not wait until the lease of the dead one has run out, as they do after
        a plain kill: there are too many points for that."""
        service = program.name.rsplit("-", 1)[0]
        others = [other for other in self.stack.programs.values()
                  if other.name.startswith(service) and other is not program]
        for one in (program, *others):
            if one.is_alive():
                one.terminate()
            self.armed.pop(one.name, None)
        program.start(fault.point)
        self.armed[program.name] = fault.point
        deadline = time.monotonic() + POINT_SECONDS
        while program.is_alive() and not is_ready(program.port):
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)  # between polls of a bounded wait
        for other in others:
            other.start()
        self.open_gate()
        deadline = time.monotonic() + POINT_SECONDS
        while program.is_alive() and time.monotonic() < deadline:
            time.sleep(0.02)  # between polls of a bounded wait
        if not program.is_alive():
            self.stack.postgres.sql("update lease set until = now() - interval '1 s'",
                                    f"wirehub_{service}")

    def strike_program(self, program, fault):
        if fault.action == "crash":
            self.arm(program, fault)
            return
        if fault.action == "pause" and program.is_alive():
            program.send(signal.SIGSTOP)
            time.sleep(fault.seconds)
            program.send(signal.SIGCONT)
            return
        if fault.action == "stop" and program.is_alive():
            program.terminate()
        elif program.is_alive():
            program.kill()
        self.armed.pop(program.name, None)
        time.sleep(fault.seconds)
        program.start()

    def revive(self):
        """Who died at a point is started again without one."""
        for program in self.stack.programs.values():
            if program.is_alive():
                continue
            point = self.armed.pop(program.name, None)
            if point is None:
                raise AssertionError(f"{program.name} ended with {program.process.returncode} by "
                                     f"itself: {program.log_path}")
            self.crashed.append(point)
            program.start()

    def disarm(self):
        """Whoever still waits for its point is started anew."""
        for name in list(self.armed):
            program = self.stack.programs[name]
            if program.is_alive():
                program.terminate()
                self.armed.pop(name)
                program.start()
        self.revive()
