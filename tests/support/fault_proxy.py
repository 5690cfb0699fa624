"""A TCP proxy that does to a connection what networks do, when a test says so.

    with FaultProxy(server.port) as proxy:
        client.connect(proxy.ws_url)
        proxy.cut("rst")                 # every connection, now
        proxy.refuse()                   # connect() fails with ECONNREFUSED …
        proxy.heal()                     # … until here; ends every other fault too
        proxy.set(down={"rate": 1})      # 1 byte a second from the server

`up` is client to server, `down` server to client.  Faults of a direction (`set`):
    stalled   nothing is read any more, so TCP pushes back; the connection stays open
    split     bytes in one write; 1: each byte is a segment of its own
    delay     seconds that each read waits before it goes on
    rate      bytes a second
    cut_after bytes after which the connection is reset, in the middle of whatever it is
    doubled_close   (down) a WebSocket close frame is sent twice
They hold for all connections, those that come later too, until heal().

With `tls` (a server's ssl.SSLContext, tls.py) it is the TLS end before a plain server: wss_url.
ConnectProxy is an HTTP proxy (RFC 9110 §9.3.6) with the same faults: the client names the target.
"""

import asyncio
import base64
import contextlib
import socket
import struct
import threading

READ_BYTES = 16384
HEAD_BYTES_MAX = 65536
WAIT_SECONDS = 5.0
SPLIT_SECONDS = 0.001  # in which the receiver may read what there is
CLOSE = 8
NO_FAULT = {"stalled": False, "split": 0, "delay": 0.0, "rate": 0, "cut_after": None,
            "doubled_close": False}


class Link:
    """One connection: the client's side and the server's."""

    def __init__(self, reader, writer):
        self.client = (reader, writer)
        self.server = (None, None)
        self.ends = [end_of(writer)]
        self.doubler = CloseDoubler()

    def has_server(self, reader, writer):
        self.server = (reader, writer)
        self.ends.append(end_of(writer))

    def reset(self):
        for transport, sock in self.ends:
            with contextlib.suppress(OSError):  # it was closed already
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()

    def finish(self):
        for transport, _ in self.ends:
            close_once(transport)


def close_once(transport):
    """A TLS transport that was closed twice cannot be aborted any more."""
    if not transport.is_closing():
        transport.close()


def end_of(writer):
    return writer.transport, writer.transport.get_extra_info("socket")


class FaultProxy:
    """Every method may be called from any thread and returns when it is done."""

    path = "/connection/websocket"

    def __init__(self, target_port, *, tls=None):
        self.target_port = target_port
        self.tls = tls
        self.accepted = 0
        self.links = set()
        self.bytes = {"up": 0, "down": 0}
        self.writes = {"up": 0, "down": 0}
        self.faults = {"up": dict(NO_FAULT), "down": dict(NO_FAULT)}
        self._tasks = set()
        self._server = None
        self._changed = threading.Condition()
        self.port = 0
        self._bind()
        self.port = self._bound.getsockname()[1]
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self._call(self._listen())

    @property
    def ws_url(self):
        return f"ws://127.0.0.1:{self.port}{self.path}"

    @property
    def wss_url(self):
        return f"wss://localhost:{self.port}{self.path}"

    # Faults

    def set(self, up=None, down=None):
        """Faults of a direction, added to those that it has."""
        self._call(self._set(up or {}, down or {}))

    def stall(self):
        self.set(up={"stalled": True}, down={"stalled": True})

    def cut(self, how="rst"):
        """All connections: "rst" resets both sides, "fin" closes them in order.  How many."""
        return self._call(self._cut(how))

    def refuse(self):
        """Nobody listens any more; connections that are open stay.  The port stays ours."""
        self._call(self._refuse())

    def heal(self):
        """As new.  What was stalled goes on where it was."""
        self._call(self._heal())

    # What happened

    def wait(self, condition, what="it", timeout=WAIT_SECONDS):
        """Until condition(self) holds: about accepted, links, bytes."""
        with self._changed:
            if not self._changed.wait_for(lambda: condition(self), timeout):
                raise TimeoutError(f"{what} did not happen: {self.accepted} accepted, "
                                   f"{len(self.links)} open, bytes {self.bytes}")

    def wait_accepted(self, count, timeout=WAIT_SECONDS):
        self.wait(lambda proxy: proxy.accepted >= count, f"connection {count}", timeout)

    def wait_open(self, count, timeout=WAIT_SECONDS):
        self.wait(lambda proxy: len(proxy.links) == count, f"{count} open connections", timeout)

    def close(self):
        self._call(self._end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()
        self._bound.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # Inside, on the loop's thread

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(WAIT_SECONDS)

    def _note(self, change=lambda: None):
        with self._changed:
            change()
            self._changed.notify_all()

    async def _listen(self):
        self._faults_changed = asyncio.Event()
        self._server = await asyncio.start_server(self._serve, sock=self._bound, ssl=self.tls)

    def _bind(self):
        """Bound and not listening: the kernel answers with a reset, and nobody else gets the port."""
        self._bound = socket.socket()
        self._bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._bound.bind(("127.0.0.1", self.port))

    async def _refuse(self):
        if self._server is None:
            return
        self._server.close()
        self._server = None
        self._bind()

    async def _set(self, up, down):
        for direction, faults in (("up", up), ("down", down)):
            unknown = set(faults) - set(NO_FAULT)
            assert not unknown, f"no fault {unknown}"
            self.faults[direction].update(faults)
        for link in self.links:
            self._press(link)
        self._wake()

    async def _heal(self):
        await self._set(dict(NO_FAULT), dict(NO_FAULT))
        if self._server is None:
            await self._listen()

    async def _cut(self, how):
        links = list(self.links)
        for link in links:
            (link.reset if how == "rst" else link.finish)()
        return len(links)

    async def _end(self):
        if self._server is not None:
            self._server.close()
        for link in list(self.links):
            link.reset()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _wake(self):
        """Whoever waits because of a fault looks again."""
        event, self._faults_changed = self._faults_changed, asyncio.Event()
        event.set()

    def _press(self, link):
        """Stop reading from the sockets of stalled directions, so that the kernel's buffers fill."""
        for direction, (reader, _) in (("up", link.client), ("down", link.server)):
            if reader is None:
                continue
            transport = reader._transport  # the stream's own flow control has no name for this
            with contextlib.suppress(RuntimeError):  # it is closing
                if self.faults[direction]["stalled"]:
                    transport.pause_reading()
                else:
                    transport.resume_reading()

    async def _serve(self, reader, writer):
        link = Link(reader, writer)
        self._tasks.add(asyncio.current_task())
        self._note(lambda: (setattr(self, "accepted", self.accepted + 1), self.links.add(link)))
        try:
            await self._connect_and_pump(link)
        except (OSError, asyncio.IncompleteReadError):
            link.reset()  # one side is gone without a word: so is the other
        except asyncio.CancelledError:
            link.reset()
        finally:
            link.finish()
            self._tasks.discard(asyncio.current_task())
            self._note(lambda: self.links.discard(link))

    async def _connect_and_pump(self, link):
        await self._wait_while_stalled("up")
        target = await self._target(link)
        if target is None:
            return
        link.has_server(*await asyncio.open_connection(*target, limit=READ_BYTES))
        self._press(link)
        await self._connected(link)
        pumps = [asyncio.create_task(self._pump(link, "up", link.client[0], link.server[1])),
                 asyncio.create_task(self._pump(link, "down", link.server[0], link.client[1]))]
        try:
            await asyncio.gather(*pumps)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _target(self, link):
        """(host, port), or None when the client was sent away."""
        return "127.0.0.1", self.target_port

    async def _connected(self, link):
        pass

    async def _pump(self, link, direction, reader, writer):
        faults = self.faults[direction]
        while True:
            await self._wait_while_stalled(direction)
            data = await reader.read(READ_BYTES)
            await self._wait_while_stalled(direction)
            if not data:
                break
            if faults["delay"]:
                await self._wait_for_change(faults["delay"])
            if direction == "down":
                data = link.doubler.pass_on(data, faults["doubled_close"])
            await self._write(link, direction, writer, data)
        if writer.can_write_eof():
            writer.write_eof()
        else:
            close_once(writer.transport)  # TLS has no half

    async def _write(self, link, direction, writer, data):
        faults = self.faults[direction]
        while data:
            await self._wait_while_stalled(direction)
            size = 1 if faults["rate"] else faults["split"] or len(data)
            limit = faults["cut_after"]
            if limit is not None:
                size = min(size, limit)
            part, data = data[:size], data[size:]
            writer.write(part)
            await writer.drain()
            self._count(direction, len(part))
            if limit is not None:
                faults["cut_after"] = limit - len(part)
                if faults["cut_after"] == 0:
                    faults["cut_after"] = None
                    link.reset()
                    raise ConnectionResetError("cut here")
            if faults["rate"]:
                await self._wait_for_change(1 / faults["rate"])
            elif faults["split"] and data:
                await self._wait_for_change(SPLIT_SECONDS)

    def _count(self, direction, size):
        with self._changed:
            self.bytes[direction] += size
            self.writes[direction] += 1
            self._changed.notify_all()

    async def _wait_while_stalled(self, direction):
        while self.faults[direction]["stalled"]:
            await self._faults_changed.wait()

    async def _wait_for_change(self, seconds):
        """A pace that ends early when faults change."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._faults_changed.wait(), seconds)


class ConnectProxy(FaultProxy):
    """Refuses with `status` when that is not 200, and with 407 without `credentials` ("name:word").
    `requests` are the heads that came; `targets` what they asked for."""

    def __init__(self, *, status=200, credentials=None):
        self.status = status
        self.credentials = credentials
        self.requests = []
        super().__init__(None)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def targets(self):
        return [head.split()[1] for head in self.requests]

    async def _target(self, link):
        head = (await link.client[0].readuntil(b"\r\n\r\n")).decode("latin-1")
        self._note(lambda: self.requests.append(head))
        method, target, _ = head.split("\r\n")[0].split(" ")
        status = 405 if method != "CONNECT" else self.status
        if self.credentials is not None:
            word = base64.b64encode(self.credentials.encode()).decode()
            if f"proxy-authorization: basic {word}".lower() not in head.lower():
                status = 407
        if status == 200:
            host, _, port = target.rpartition(":")
            return host.strip("[]"), int(port)
        link.client[1].write(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n"
                             "Proxy-Authenticate: Basic realm=\"test\"\r\n\r\n".encode())
        await link.client[1].drain()
        return None

    async def _connected(self, link):
        link.client[1].write(b"HTTP/1.1 200 Connection established\r\n\r\n")


class CloseDoubler:
    """Follows the frames of a server (RFC 6455 §5.2) behind its response's head and knows where a
    close frame ends."""

    def __init__(self):
        self.buffer = b""
        self.is_upgraded = False

    def pass_on(self, data, is_doubled):
        """`data`, and with `is_doubled` every close frame that ends in it once more."""
        out, self.buffer = data, self.buffer + data
        if not self.is_upgraded:
            head, mark, rest = self.buffer.partition(b"\r\n\r\n")
            if not mark:
                self.buffer = self.buffer[-HEAD_BYTES_MAX:]
                return out
            self.is_upgraded, self.buffer = True, rest
            if b" 101 " not in head.split(b"\r\n")[0]:
                self.buffer = b""
        while (size := frame_size(self.buffer)) and len(self.buffer) >= size:
            frame, self.buffer = self.buffer[:size], self.buffer[size:]
            if frame[0] & 15 == CLOSE and is_doubled:
                out += frame  # the last frame of a connection: nothing is behind it
        return out


def frame_size(data):
    """Of an unmasked frame that begins here, 0 while its length is not there yet."""
    if len(data) < 2:
        return 0
    size = data[1] & 0x7F
    if size < 126:
        return 2 + size
    width = 2 if size == 126 else 8
    return 2 + width + int.from_bytes(data[2:2 + width], "big") if len(data) >= 2 + width else 0
