"""JWTs for tests, made by hand: HS* with the standard library, RS* and ES* with the openssl tool."""

import base64
import hashlib
import hmac
import json
import subprocess

HASHES = {"256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512}
ES_BYTES = {"256": 32, "384": 48, "512": 66}


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def make(claims, key, alg="HS256", header=None):
    """`key`: the secret of HS*, or the path of a private key in PEM.  `claims` may be raw bytes,
    `header` adds to or replaces the header's members."""
    head = {"alg": alg, "typ": "JWT", **(header or {})}
    body = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    signed = f"{base64url(json.dumps(head).encode())}.{base64url(body)}"
    return f"{signed}.{base64url(sign(signed.encode(), key, alg))}"


def sign(data, key, alg):
    if alg == "none":
        return b""
    family, size = alg[:2], alg[2:]
    if family == "HS":
        secret = key if isinstance(key, bytes) else key.encode()
        return hmac.new(secret, data, HASHES[size]).digest()
    der = subprocess.run(["openssl", "dgst", f"-sha{size}", "-sign", str(key)], input=data,
                         stdout=subprocess.PIPE, check=True).stdout
    return der if family == "RS" else ecdsa_raw(der, ES_BYTES[size])


def ecdsa_raw(der, size):
    """SEQUENCE { INTEGER r, INTEGER s } to r || s (RFC 7518 §3.4)."""
    at = 3 if der[1] & 0x80 else 2
    numbers = []
    for _ in range(2):
        length = der[at + 1]
        numbers.append(int.from_bytes(der[at + 2:at + 2 + length], "big").to_bytes(size, "big"))
        at += 2 + length
    return b"".join(numbers)
