"""Protocol clients for tests: one in JSON, one in MessagePack, the same verbs.

    with JsonClient.open(hub.ws_url) as client:
        client.connect(token=hub.token("ann"))
        client.subscribe("market:ticker")
        assert client.next_publication()["data"] == {"price": 42}

A call returns the result, raises ReplyError for an error reply and Disconnected when the hub
closes.  Pushes that arrive meanwhile wait in order for next_push.  Pings are answered, unless
answers_pings is off.
"""

import collections
import itertools
import json
import time

import msgpack

from support.ws import BINARY, TEXT, Close, WebSocket

DEFAULT_TIMEOUT = 5.0


class ReplyError(Exception):
    def __init__(self, error):
        super().__init__(f"{error['code']} {error['message']}")
        self.code = error["code"]
        self.message = error["message"]
        self.temporary = error.get("temporary", False)


class Disconnected(Exception):
    def __init__(self, close):
        super().__init__(f"{close.code} {close.reason}")
        self.close = close
        self.code = close.code
        self.reason = close.reason


class Client:
    protocols = None

    @classmethod
    def open(cls, url, protocols=..., headers=None, timeout=DEFAULT_TIMEOUT):
        """Upgrade only; connect() is the first command."""
        offered = cls.protocols if protocols is ... else protocols
        return cls(WebSocket.connect(url, protocols=offered, headers=headers, timeout=timeout))

    def __init__(self, ws):
        self.ws = ws
        self.ids = itertools.count(1)
        self.answers_pings = True
        self.pings = 0
        self.frames = []  # every frame as (opcode, payload), as it came
        self.pushes = collections.deque()
        self.replies = {}
        self.disconnected = None

    # Verbs

    def connect(self, timeout=DEFAULT_TIMEOUT, **fields):
        return self.call("connect", timeout, **fields)

    def subscribe(self, channel, timeout=DEFAULT_TIMEOUT, **fields):
        return self.call("subscribe", timeout, channel=channel, **fields)

    def unsubscribe(self, channel, timeout=DEFAULT_TIMEOUT):
        return self.call("unsubscribe", timeout, channel=channel)

    def publish(self, channel, data, timeout=DEFAULT_TIMEOUT, **fields):
        return self.call("publish", timeout, channel=channel, data=data, **fields)

    def rpc(self, method, data=None, timeout=DEFAULT_TIMEOUT):
        return self.call("rpc", timeout, method=method, data=data)

    def send(self, data):
        """The command `send`, which has no reply."""
        self.send_messages({"send": {"data": data}})

    def call(self, method, timeout=DEFAULT_TIMEOUT, /, **params):
        return self.wait_reply(self.start(method, **params), timeout)

    def start(self, method, /, **params):
        """Send one command without waiting; returns its id for wait_reply.
        Parameters that are None are left out."""
        command_id = next(self.ids)
        present = {name: value for name, value in params.items() if value is not None}
        self.send_messages({"id": command_id, method: present})
        return command_id

    def wait_reply(self, command_id, timeout=DEFAULT_TIMEOUT):
        self._wait(lambda: command_id in self.replies, timeout, f"the reply to {command_id}")
        reply = self.replies.pop(command_id)
        if "error" in reply:
            raise ReplyError(reply["error"])
        results = [value for name, value in reply.items() if name != "id"]
        assert len(results) == 1, f"a reply with {len(results)} results: {reply}"
        return results[0]

    def next_push(self, timeout=DEFAULT_TIMEOUT):
        """The next push, whatever it is: {"channel": …, "pub": {…}}."""
        self._wait(lambda: self.pushes, timeout, "a push")
        return self.pushes.popleft()

    def next_publication(self, channel=None, timeout=DEFAULT_TIMEOUT):
        """The `pub` of the next push, which must be a publication (of `channel`)."""
        push = self.next_push(timeout)
        assert "pub" in push, f"not a publication: {push}"
        assert channel in (None, push["channel"]), f"another channel: {push}"
        return push["pub"]

    def wait_ping(self, timeout=DEFAULT_TIMEOUT):
        seen = self.pings
        self._wait(lambda: self.pings > seen, timeout, "a ping")

    def wait_close(self, timeout=DEFAULT_TIMEOUT):
        """Read until the hub closes; returns the Close.  Pushes and replies are kept."""
        deadline = time.monotonic() + timeout
        while self.disconnected is None:
            self._read(deadline, "the close")
        return self.disconnected

    def close(self):
        self.ws.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ws.abort() if self.disconnected else self.ws.close()

    # Messages

    def send_messages(self, *messages):
        """Several messages in one frame."""
        self.send_raw(self.encode(messages))

    def send_raw(self, payload):
        """Any bytes as one frame of this encoding."""
        self.ws.send_frame(True, self.opcode, payload)

    def _wait(self, condition, timeout, what):
        deadline = time.monotonic() + timeout
        while not condition():
            if self.disconnected is not None:
                raise Disconnected(self.disconnected)
            self._read(deadline, what)

    def _read(self, deadline, what):
        try:
            message = self.ws.recv(max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            raise TimeoutError(f"{what} did not come in time") from None
        if isinstance(message, Close):
            self.disconnected = message
            return
        opcode, payload = message
        self.frames.append(message)
        assert opcode == self.opcode, f"opcode {opcode} with {payload[:80]!r}"
        for reply in self.decode(payload):
            self._dispatch(reply)

    def _dispatch(self, reply):
        if not reply:
            self.pings += 1
            if self.answers_pings:
                self.send_messages({})
        elif "push" in reply:
            self.pushes.append(reply["push"])
        else:
            assert reply["id"] not in self.replies, f"a second reply: {reply}"
            self.replies[reply["id"]] = reply


class JsonClient(Client):
    """Text frames, one JSON object a line."""

    opcode = TEXT

    @staticmethod
    def encode(messages):
        return b"\n".join(
            json.dumps(m, ensure_ascii=False, separators=(",", ":")).encode() for m in messages)

    @staticmethod
    def decode(payload):
        lines = payload.split(b"\n")
        if lines[-1] == b"":
            lines.pop()
        return [json.loads(line) for line in lines]


class MsgpackClient(Client):
    """Binary frames, maps one after the other.  bytes are bin, str is str."""

    opcode = BINARY
    protocols = ["centrifuge-msgpack"]

    @staticmethod
    def encode(messages):
        return b"".join(msgpack.packb(m, use_bin_type=True) for m in messages)

    @staticmethod
    def decode(payload):
        unpacker = msgpack.Unpacker(raw=False, strict_map_key=False)
        unpacker.feed(payload)
        messages = list(unpacker)
        assert unpacker.tell() == len(payload), f"half a message at the end of {payload!r}"
        return messages
