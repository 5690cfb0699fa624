"""Fixtures for what a client library is proven in: tests/support/sdk_world.py.

    def test_x(world): ...      our hub and, where there is one, a real Centrifugo
    def test_y(make_world): ... make_world(config) makes one of its own, same servers

Nothing of Redis is shared between tests of different processes; channels must be the test's own.
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
def make_world(server_kind, redis):
    with contextlib.ExitStack() as stack:
        yield lambda config=None: stack.enter_context(open_world(server_kind, redis, config))


STEPS_WITH_A_SERVER_OF_THEIR_OWN = {"server"}


@pytest.fixture
def world_of(world, make_world):
    def choose(script):
        is_alone = any(STEPS_WITH_A_SERVER_OF_THEIR_OWN & set(step) for step in script["steps"])
        return make_world(script.get("config")) if is_alone or "config" in script else world

    return choose
