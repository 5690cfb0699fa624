"""Fixtures for what a client library is proven in: tests/support/sdk_world.py.

    def test_x(world): ...      our hub and, where there is one, a real Centrifugo
    def test_y(make_world): ... make_world(config) makes one of its own, with a Redis of its own

`world` serves many tests: channels and users must be the test's own, and it must not be killed.
"""

import contextlib

import pytest

from support.centrifugo import Unavailable
from support.redis_server import RedisServer
from support.sdk_world import SERVERS, World


def open_world(kind, redis, config=None):
    try:
        return World(kind, redis, config)
    except Unavailable as problem:
        pytest.skip(f"no Centrifugo: {problem}")


@pytest.fixture(scope="session")
def redis():
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session", params=list(SERVERS))
def server_kind(request):
    return request.param


@pytest.fixture(scope="session")
def world(server_kind, redis):
    with open_world(server_kind, redis) as one:
        yield one


@pytest.fixture
def make_world(server_kind):
    """Not on the Redis of `world`: for 7 s after a node's death verbs of the others answer 100."""
    with contextlib.ExitStack() as stack:
        def start(config=None):
            own = stack.enter_context(RedisServer())
            return stack.enter_context(open_world(server_kind, own, config))

        yield start


STEPS_WITH_A_SERVER_OF_THEIR_OWN = {"server"}


@pytest.fixture
def world_of(world, make_world):
    def choose(script):
        is_alone = any(STEPS_WITH_A_SERVER_OF_THEIR_OWN & set(step) for step in script["steps"])
        return make_world(script.get("config")) if is_alone or "config" in script else world

    return choose
