"""wirehub-user as a process under test.

    users = UserService(redis, postgres.create("users")).wait_ready()
    ann = users.register("ann@example.org")
    ann["access_token"]

Every password and token that goes through it must not show in its log.
"""

import base64
import itertools
import json
import os

from support.hub import ROOT
from support.service import Caller, Service

SEALING_SECRET = "a sealing secret that only the tests know 91be"
PASSWORD = "correct horse battery"
KEY_WAIT = 15.0

numbers = itertools.count(1)


def claims_of(token, part=1):
    """The payload (or 0: the header) of a JWT, unverified."""
    text = token.split(".")[part]
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


class Refused(Exception):
    def __init__(self, error):
        super().__init__(f"{error['code']} {error['message']}")
        self.code = error["code"]
        self.message = error["message"]


class UserService(Service):
    """`options` become flags.  Passwords cost as little as they can."""

    def __init__(self, redis, url, *, options=None, secret=SEALING_SECRET, env=None, **rest):
        defaults = {"testing.journal": None, "password.cost": 1}
        self.secrets = [secret, PASSWORD, url]
        super().__init__(
            redis, binary=os.environ.get("WIREHUB_USER_BIN", ROOT / "build/debug/bin/wirehub-user"),
            options={**defaults, **(options or {})},
            env={"WIREHUB_USER_DATABASE_URL": url, "WIREHUB_USER_TOKEN_SEALING_SECRET": secret,
                 **(env or {})}, **rest)
        self.caller = Caller(redis, f"users-test-{next(numbers)}")

    def call(self, method, params=None, **fields):
        """The result; Refused for an error.  Anonymous unless `user` says who."""
        answer = self.caller.call(f"users.v1.{method}", params, **{"user": "", **fields})
        if answer.error:
            raise Refused(answer.error)
        data = answer.data
        for name in ("access_token", "refresh_token"):
            if data and name in data:
                self.secrets.append(data[name])
        return data

    def register(self, email, password=PASSWORD, name="Ann", **fields):
        return self.call("register", {"email": email, "password": password, "name": name},
                         **fields)

    def login(self, email, password=PASSWORD, **fields):
        return self.call("login", {"email": email, "password": password}, **fields)

    def refresh(self, token, **fields):
        return self.call("refresh", {"refresh_token": token}, **fields)

    @property
    def jwks_url(self):
        return f"http://127.0.0.1:{self.port}/.well-known/jwks.json"

    def kids(self):
        status, text = self.http("/.well-known/jwks.json")
        assert status == 200, text
        return [key["kid"] for key in json.loads(text)["keys"]]

    def close(self):
        self.caller.close()
        super().close()
        text = "".join(self.lines)
        shown = [secret for secret in self.secrets if secret and secret in text]
        assert not shown, f"a secret shows in the log: {shown}"
