"""Customers, each a shopper and a listener, who write down what they are told.

What one wrote down, for the judge:

    user       id
    creates    [{method, key, answers: [codes], outcome: None | "ok" | code, order, minor}]
    cancels    [{method, key, answers, outcome, order}]
    channels   {name: {start: [epoch, offset], recovered, notes: [
                   {kind: "event", epoch, offset, event, subject, user} |
                   {kind: "lost", epoch, offset}]}}
    public     [{channel, data}]    of channels that are everybody's
    strange    pushes of channels that are somebody else's
    attempts   subscriptions that were tried
    connects   connections that were made
"""

import contextlib
import http.client
import json
import random
import socket
import threading
import time
import uuid

from support.client import Disconnected, JsonClient, ReplyError
from support.order_service import product
from support.ws import HandshakeError

PASSWORD = "correct horse battery"
CALL_SECONDS = 15.0
FIRST_SECONDS = 60.0  # for what happens before the first fault
LOST = (Disconnected, ConnectionError, HandshakeError, OSError)
CARDS = {  # number -> weight
    "4242424242424242": 12,
    "4000000000000002": 2,  # declined
    "4000000000009995": 1,  # declined
    "4000000000000259": 2,  # slow
    "4000000000000341": 3,  # pays, and the answer is lost
    "4000000000000408": 2,  # no answer, and nothing happened
}
BASKETS = {"espresso": 10, "filter": 10, "cup": 5, "machine": 1}


class Refused(Exception):
    def __init__(self, code, message):
        super().__init__(f"{code} {message}")
        self.code = code


class GaveUp(Exception):
    """The run is over, and there is still no answer."""


class Api:
    """Calls over HTTP, made again until they are answered."""

    def __init__(self, stack, chance, is_over):
        self.stack = stack
        self.chance = chance
        self.is_over = is_over  # Event: no more attempts
        self.token = None
        self.login = None  # how to get another one

    def once(self, method, params, key):
        connection = http.client.HTTPConnection(*self.stack.address, timeout=CALL_SECONDS)
        headers = {"Content-Type": "application/json"}
        if self.token and not method.startswith("users.v1.log"):
            headers["Authorization"] = f"Bearer {self.token}"
        if key:
            headers["Idempotency-Key"] = key
        with contextlib.closing(connection):
            connection.request("POST", f"/rpc/{method}", json.dumps(params), headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())

    def call(self, method, params, key=None, answers=None):
        """The result.  Refused: an answer that will not change.  `answers` gets every code."""
        answers = [] if answers is None else answers
        for attempt in range(10 ** 6):
            try:
                status, body = self.once(method, params, key)
            except (OSError, http.client.HTTPException, ValueError) as error:
                status, body = 0, {"code": type(error).__name__, "temporary": True}
            code = 0 if status == 200 else body.get("code")
            answers.append(code)
            if status == 200:
                return body
            if code in (101, 109, 110) and self.login:
                self.login()
            elif not body.get("temporary") and status not in (429, 500, 502, 503, 504):
                raise Refused(code, body.get("message", ""))
            if self.is_over.wait(self.chance.uniform(0, min(2.0, 0.05 * 2 ** min(attempt, 6)))):
                raise GaveUp(f"{method}: {answers[-3:]}")


class Listener(threading.Thread):
    """Connected as long as it can be, with its channels from the token, each recovered."""

    def __init__(self, ws_url, log, token_of, wishes=()):
        super().__init__(daemon=True)
        self.ws_url = ws_url
        self.log = log
        self.token_of = token_of
        self.wishes = wishes  # channels to try to subscribe to, each time
        self.client = None
        self.positions = {}
        self.is_stopped = threading.Event()
        self.is_connected = threading.Event()
        self.failure = None

    def run(self):
        while not self.is_stopped.is_set():
            try:
                self.step()
            except (TimeoutError, *LOST) as error:
                if isinstance(error, TimeoutError) and self.is_connected.is_set():
                    continue  # nothing came
                self.leave(error)
            except ReplyError as error:
                self.leave(error)
            except BaseException as error:  # handed to the run by its check()
                self.failure = error
                return
        self.leave(None)

    def leave(self, error):
        self.log["away"].append(repr(error))
        self.is_connected.clear()
        if self.client:
            self.client.ws.abort()
        self.client = None
        self.is_stopped.wait(0.1)  # the back-off of a client

    def cut(self):
        client = self.client
        if client:
            with contextlib.suppress(OSError, AttributeError):  # it went by itself
                client.ws.sock.shutdown(socket.SHUT_RDWR)

    def step(self):
        if self.client is None:
            self.client = JsonClient.open(self.ws_url)
            self.connect()
        self.take(self.client.next_push(timeout=0.5))

    def connect(self):
        subs = {channel: {"recover": True, "epoch": epoch, "offset": offset}
                for channel, (epoch, offset) in self.positions.items()}
        result = self.client.connect(token=self.token_of(), subs=subs or None)
        self.log["connects"] += 1
        for channel, sub in result.get("subs", {}).items():
            self.begin(channel, sub)
        for channel in self.wishes:
            self.log["attempts"] += 1
            with contextlib.suppress(ReplyError):
                self.client.subscribe(channel)
        self.is_connected.set()

    def begin(self, channel, sub):
        top = sub["epoch"], sub.get("offset", 0)
        log = self.log["channels"].get(channel)
        if log is None:
            self.log["channels"][channel] = {"start": list(top), "recovered": 0, "notes": []}
            self.positions[channel] = top
        elif sub.get("recovered"):
            log["recovered"] += 1
            for publication in sub.get("publications", []):
                self.keep(channel, publication)
        else:
            log["notes"].append({"kind": "lost", "epoch": top[0], "offset": top[1]})
            self.positions[channel] = top

    def take(self, push):
        channel = push["channel"]
        if "pub" not in push:
            raise ConnectionError(f"pushed away: {push}")
        if channel in self.positions:
            self.keep(channel, push["pub"])
        elif channel == "market:ticker":
            self.log["public"].append({"channel": channel, "data": push["pub"]["data"]})
        else:
            self.log["strange"].append(push)

    def keep(self, channel, publication):
        event = publication["data"]
        epoch = publication.get("epoch", self.positions[channel][0])
        self.log["channels"][channel]["notes"].append(
            {"kind": "event", "epoch": epoch, "offset": publication["offset"],
             "event": event["id"], "subject": event.get("subject"), "user": event["data"]["user"]})
        self.positions[channel] = epoch, publication["offset"]


WAIT = -1.0


class Orders:
    """How many are to be placed and when, shared by all shoppers."""

    def __init__(self, count, seconds):
        self.count = count
        self.pause = seconds / count
        self.next_at = time.monotonic()
        self.taken = 0
        self.answered = 0
        self.gate = 1.0  # share of them that may be taken now
        self.lock = threading.Lock()

    def take(self):
        """When to place the next one, None if there is none, WAIT if it is not its time."""
        with self.lock:
            if self.answered == self.count:
                return None
            if self.taken >= min(1.0, self.gate) * self.count:
                return WAIT
            self.taken += 1
            self.next_at = max(self.next_at + self.pause, time.monotonic())
            return self.next_at

    def answer(self, is_order):
        """What was refused, for want of stock, say, is placed again."""
        with self.lock:
            self.answered += is_order
            self.taken -= not is_order

    @property
    def progress(self):
        return self.answered / self.count


class Customer:
    def __init__(self, stack, seed, is_over):
        self.chance = random.Random(seed)
        self.api = Api(stack, self.chance, is_over)
        self.is_over = is_over
        self.email = f"{uuid.UUID(int=self.chance.getrandbits(128))}@example.org"
        session = self.api.call("users.v1.register", {
            "email": self.email, "password": PASSWORD, "name": "Ann"}, key=self.new_key())
        self.begin_session(session)
        self.log = {"user": session["user"]["id"], "creates": [], "cancels": [], "channels": {},
                    "public": [], "strange": [], "attempts": 0, "connects": 0, "away": []}
        self.listener = Listener(stack.ws_url, self.log, lambda: self.api.token)
        self.shopper = None
        self.failure = None

    def new_key(self):
        return str(uuid.UUID(int=self.chance.getrandbits(128)))

    def begin_session(self, session):
        self.refresh_token = session["refresh_token"]
        self.api.token = session["access_token"]
        self.api.login = self.log_in

    def log_in(self):
        self.begin_session(self.api.call("users.v1.login",
                                         {"email": self.email, "password": PASSWORD}))

    # Shopping

    def start_shopping(self, orders):
        self.shopper = threading.Thread(target=self.shop, args=(orders,), daemon=True)
        self.shopper.start()

    def shop(self, orders):
        try:
            while (at := orders.take()) is not None and not self.is_over.is_set():
                if at == WAIT:
                    self.is_over.wait(0.05)  # between looks at the gate
                    continue
                self.is_over.wait(max(0.0, at - time.monotonic()))
                order = self.order()
                orders.answer(order is not None)
                if order and self.chance.random() < 0.2:
                    self.is_over.wait(self.chance.uniform(0, 1.5))  # a customer thinks it over
                    self.cancel(order)
                if self.chance.random() < 0.2:
                    self.do_something_else()
        except GaveUp:
            pass  # the judge sees what was not answered
        except BaseException as failure:  # handed to the run by its check()
            self.failure = failure

    def request(self, kind, method, params, order=None):
        """The result or None; written down either way."""
        note = {"method": method, "key": self.new_key(), "answers": [], "outcome": None,
                "order": order, "minor": None}
        self.log[kind].append(note)
        try:
            result = self.api.call(method, params, note["key"], note["answers"])
        except Refused as error:
            note["outcome"] = error.code
            return None
        note["order"], note["minor"] = result["order"], result["total"]["amount_minor"]
        note["outcome"] = "ok"
        return result["order"]

    def order(self):
        names = set(self.chance.choices(list(BASKETS), BASKETS.values(),
                                        k=self.chance.choice((1, 1, 2))))
        lines = [{"product": product(name), "quantity": self.chance.randint(1, 3)}
                 for name in sorted(names)]
        card, = self.chance.choices(list(CARDS), CARDS.values())
        return self.request("creates", "orders.v1.create", {"lines": lines, "card": card})

    def cancel(self, order):
        self.request("cancels", "orders.v1.cancel", {"order": order}, order)

    def do_something_else(self):
        with contextlib.suppress(Refused):  # a version that changed meanwhile, a session that ended
            if self.chance.random() < 0.5:
                self.api.call("users.v1.update", {"name": f"Ann {self.chance.randrange(100)}"})
            else:
                self.begin_session(self.api.call("users.v1.refresh",
                                                 {"refresh_token": self.refresh_token}))

    def check(self):
        for failure in (self.failure, self.listener.failure):
            if failure:
                raise failure


class Canary(Customer):
    """Buys nothing, and tries to listen to everything that is not its own."""

    def __init__(self, stack, seed, is_over, victims):
        super().__init__(stack, seed, is_over)
        names = ["orders", "payments", "users"]
        self.listener.wishes = [
            "market:ticker",
            *(f"{name}:live#{user}" for name in names for user in victims),
            *(f"{name}:live#{user},{self.log['user']}" for name in names for user in victims[:2]),
            *(f"{name}:live{rest}" for name in names for rest in ("", "#", "#*", "#?")),
            "wh:events:order", "wh:rpc:orders", "$orders:live"]
