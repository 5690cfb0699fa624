"""Certificates for tests, made by the openssl tool when a test needs them.

    with Authority() as authority:
        good = authority.issue("localhost", "127.0.0.1")
        proxy = FaultProxy(port, tls=good.server_context())
        # the client trusts authority.path, and only that
"""

import ssl
import subprocess
import tempfile
from pathlib import Path

CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


class Pair:
    """A certificate and its key, as the paths of PEM files."""

    def __init__(self, path, key_path):
        self.path, self.key_path = path, key_path

    def server_context(self, client_authority=None, version=None):
        """`client_authority`: clients must show a certificate of it.  `version`: only this one."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path, self.key_path)
        if client_authority is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(client_authority.path)
        if version is not None:
            context.minimum_version = context.maximum_version = version
        return context


class Authority:
    """A CA of its own; `path` is its certificate."""

    def __init__(self):
        self._directory = tempfile.TemporaryDirectory(prefix="wirehub-tls-")
        self.directory = Path(self._directory.name)
        self.path = self.directory / "ca.pem"
        self.key_path = self.directory / "ca.key"
        self.issued = 0
        openssl("req", "-x509", *CURVE, "-keyout", self.key_path, "-out", self.path,
                "-subj", "/CN=Authority of the tests", "-days", "2",
                "-addext", "basicConstraints=critical,CA:TRUE",
                "-addext", "keyUsage=critical,keyCertSign")

    def issue(self, *names, days=2, usage="serverAuth,clientAuth"):
        """For these host names and addresses; `days` -1: it has expired."""
        self.issued += 1
        base = self.directory / f"{self.issued}"
        pair = Pair(base.with_suffix(".pem"), base.with_suffix(".key"))
        request, extensions = base.with_suffix(".csr"), base.with_suffix(".ext")
        alternatives = ",".join(f"{'IP' if name[0].isdigit() or ':' in name else 'DNS'}:{name}"
                                for name in names)
        extensions.write_text(f"subjectAltName={alternatives}\nextendedKeyUsage={usage}\n")
        openssl("req", *CURVE, "-keyout", pair.key_path, "-out", request, "-subj",
                f"/CN={names[0]}")
        openssl("x509", "-req", "-in", request, "-CA", self.path, "-CAkey", self.key_path,
                "-CAcreateserial", "-days", str(days), "-extfile", extensions, "-out", pair.path)
        return pair

    def close(self):
        self._directory.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def openssl(*arguments):
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr
