"""A JWKS endpoint that can turn bad, and key pairs for it.

    with JwksServer(ed25519("a")) as server:
        hub = make_hub({"client": {"token": {"jwks_public_endpoint": server.url}}})
        client.connect(token=server.keys[0].token("ann"))
"""

import http.server
import json
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

from support import tokens

# What stands before the bytes of a key in the DER that openssl writes.
ED25519_BYTES = 32


class Key:
    """One key pair: `jwk` is the public half, token() signs with the private one."""

    def __init__(self, kid, alg, *arguments):
        self.kid = kid
        self.alg = alg
        self._directory = tempfile.TemporaryDirectory(prefix="wirehub-key-")
        self.path = Path(self._directory.name) / "private.pem"
        openssl("genpkey", *arguments, "-out", self.path)
        self.der = openssl("pkey", "-in", self.path, "-pubout", "-outform", "DER")
        self.jwk = {"kid": kid, "alg": alg, "use": "sig", **self._numbers()}

    def _numbers(self):
        if self.alg == "EdDSA":
            return {"kty": "OKP", "crv": "Ed25519",
                    "x": tokens.base64url(self.der[-ED25519_BYTES:])}
        if self.alg.startswith("ES"):
            size = tokens.ES_BYTES[self.alg[2:]]
            curve = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}[self.alg]
            point = self.der[-2 * size:]
            return {"kty": "EC", "crv": curve, "x": tokens.base64url(point[:size]),
                    "y": tokens.base64url(point[size:])}
        text = openssl("rsa", "-in", self.path, "-noout", "-modulus").decode()
        modulus = bytes.fromhex(text.strip().partition("=")[2])
        return {"kty": "RSA", "n": tokens.base64url(modulus), "e": "AQAB"}

    def token(self, user, *, kid=None, **claims):
        """`kid`: another name than the key's own; "" = none."""
        head = {"alg": self.alg, "typ": "JWT", "kid": self.kid if kid is None else kid}
        if not head["kid"]:
            del head["kid"]
        body = json.dumps({"sub": user, **claims}).encode()
        signed = f"{tokens.base64url(json.dumps(head).encode())}.{tokens.base64url(body)}"
        return f"{signed}.{tokens.base64url(self._sign(signed.encode()))}"

    def _sign(self, data):
        if self.alg != "EdDSA":
            return tokens.sign(data, self.path, self.alg)
        message = self.path.with_name("message")
        message.write_bytes(data)
        return openssl("pkeyutl", "-sign", "-inkey", self.path, "-rawin", "-in", message)


def openssl(*arguments):
    return subprocess.run(["openssl", *map(str, arguments)], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, check=True).stdout


def ed25519(kid):
    return Key(kid, "EdDSA", "-algorithm", "ED25519")


def rsa(kid):
    return Key(kid, "RS256", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")


def ec(kid):
    return Key(kid, "ES256", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")


class JwksServer:
    """Serves `keys`.  `behaviour` may be set at any time: "good", "slow" (answers once `release`
    is set), "garbage", "error", "huge", "redirect" (to a good place), "elsewhere" (a redirect to
    another scheme)."""

    def __init__(self, *keys):
        self.keys = list(keys)
        self.behaviour = "good"
        self.release = threading.Event()
        self.requests = 0
        self._changed = threading.Condition()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):  # pylint: disable=invalid-name
                outer._answer(self)

            def log_message(self, *_):
                pass

        self._handler = Handler
        self._server = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/keys"

    def start(self):
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), self._handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self):
        """Nobody listens any more."""
        self.release.set()
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def wait_requests(self, count, timeout=5.0):
        with self._changed:
            assert self._changed.wait_for(lambda: self.requests >= count, timeout), \
                f"{self.requests} requests, not {count}"

    def _answer(self, handler):
        with self._changed:
            self.requests += 1
            self._changed.notify_all()
        if self.behaviour == "slow":
            self.release.wait(30)
        body = json.dumps({"keys": [key.jwk for key in self.keys]}).encode()
        status, headers = 200, {}
        if handler.path == "/keys":
            if self.behaviour == "garbage":
                body = b"<html>"
            elif self.behaviour == "error":
                status = 500
            elif self.behaviour == "huge":
                body += b" " * (2 << 20)
            elif self.behaviour == "redirect":
                status, headers = 302, {"Location": "/moved"}
            elif self.behaviour == "elsewhere":
                status, headers = 302, {"Location": f"https://127.0.0.1:{self.port}/moved"}
        try:
            handler.send_response(status)
            for name, value in headers.items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body)
        except OSError:
            pass  # the hub gave up

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
