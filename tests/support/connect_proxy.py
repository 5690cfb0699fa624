"""An HTTP proxy that knows CONNECT, as companies have them.

    with ConnectProxy({"hub.invalid": ("127.0.0.1", port)}, auth="ann:secret") as proxy:
        ...  # proxy.url, proxy.asked: the authorities that clients named
"""

import base64
import socket
import threading


class ConnectProxy:
    """`names`: where the hosts that clients ask for really are; others get 502."""

    def __init__(self, names, auth=None):
        self.names, self.auth = names, auth
        self.asked = []
        self.sockets = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        credentials = f"{auth}@" if auth else ""
        self.url = f"http://{credentials}127.0.0.1:{self.port}"
        self._run(self._accept)

    @staticmethod
    def _run(function, *arguments):
        def run():
            try:
                function(*arguments)
            except OSError:
                pass  # closed by us or by either side

        threading.Thread(target=run, daemon=True).start()

    def _accept(self):
        while True:
            client, _ = self.listener.accept()
            self.sockets.append(client)
            self._run(self._serve, client)

    def _serve(self, client):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            if not (piece := client.recv(1)):
                return
            head += piece
        request, *headers = head.decode().split("\r\n")
        method, authority, _ = request.split(" ")
        self.asked.append(authority)
        fields = dict(line.split(": ", 1) for line in headers if line)
        wanted = self.auth and "Basic " + base64.b64encode(self.auth.encode()).decode()
        host, _, port = authority.rpartition(":")
        if method != "CONNECT" or fields["Host"] != authority:
            self._refuse(client, "400 Bad Request")
        elif wanted and fields.get("Proxy-Authorization") != wanted:
            self._refuse(client, "407 Proxy Authentication Required")
        elif host not in self.names:
            self._refuse(client, "502 Bad Gateway")
        else:
            assert int(port) > 0
            server = socket.create_connection(self.names[host])
            self.sockets.append(server)
            client.sendall(b"HTTP/1.1 200 Connection established\r\nVia: 1.1 tests\r\n\r\n")
            self._run(self._copy, client, server)
            self._copy(server, client)

    @staticmethod
    def _refuse(client, status):
        client.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
        client.close()

    @staticmethod
    def _copy(source, target):
        while piece := source.recv(65536):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)

    def close(self):
        for one in (self.listener, *self.sockets):
            one.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
