"""A TCP proxy before PostgreSQL that loses what tests tell it to lose."""

import contextlib
import socket
import threading


class PgProxy:
    """Forwards until told otherwise.  A rule fires once, on a connection over which `marker` went
    before (in a statement or its parameters) and then a message with the word."""

    def __init__(self, port):
        self.target = port
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.lock = threading.Lock()
        self.rule = None
        self.lost = 0
        self.is_open = True
        self.running = threading.Event()
        self.running.set()
        self.sockets = []
        threading.Thread(target=self._accept, daemon=True).start()

    def lose_answer_to(self, word, marker, refuse_after=False):
        self.rule = ("answer", word, marker, refuse_after)

    def lose_request(self, word, marker):
        self.rule = ("request", word, marker, False)

    def accept(self):
        self.is_open = True

    def freeze(self):
        self.running.clear()

    def thaw(self):
        self.running.set()

    def _accept(self):
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            if not self.is_open:
                client.close()
                continue
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        backend = socket.create_connection(("127.0.0.1", self.target))
        self.sockets += [client, backend]
        state = {"marked": False, "swallow": False}
        back = threading.Thread(target=self._back, args=(client, backend, state), daemon=True)
        back.start()
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                self.running.wait()
                verdict = self._judge(data, state)
                if verdict == "request":
                    break
                backend.sendall(data)
        for one in (client, backend):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _judge(self, data, state):
        with self.lock:
            if not self.rule:
                return None
            kind, word, marker, refuse_after = self.rule
            if marker in data:
                state["marked"] = True
            if not state["marked"] or word not in data:
                return None
            self.rule = None
            self.lost += 1
            state["swallow"] = kind == "answer"
            if refuse_after:
                self.is_open = False
            return kind

    def _back(self, client, backend, state):
        with contextlib.suppress(OSError):
            while data := backend.recv(65536):
                self.running.wait()
                if state["swallow"]:  # it was done: the server answered
                    break
                client.sendall(data)
        for one in (client, backend):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.running.set()
        self.server.close()
        for one in self.sockets:
            one.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
