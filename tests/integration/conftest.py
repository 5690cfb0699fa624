"""Fixtures for tests that drive real processes.

    def test_x(hub): ...            a ready hub, once with the memory broker, once with Redis
    def test_y(make_hub, redis):    hubs as the test wants them, one private Redis
    def test_z(hub, clients):       clients(hub, JsonClient, "news"): connected and subscribed
"""

import contextlib

import pytest

from db_support import World
from support.client import JsonClient
from support.hub import Hub, binary_path
from support.postgres import Postgres
from support.redis_server import RedisServer


def pytest_report_header():
    return f"wirehub: {binary_path()}"


@pytest.fixture
def redis():
    """A private Redis, empty, gone after the test."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def make_hub():
    """make_hub(config, redis=…, …) starts a Hub and waits until it is ready (ready=False: does
    not wait).  All are ended and judged after the test."""
    hubs = []

    def start(config=None, *, ready=True, **options):
        hub = Hub(config, **options)
        hubs.append(hub)
        if ready:
            hub.wait_ready()
        return hub

    yield start
    problems = []
    for hub in reversed(hubs):
        try:
            hub.close()
        except AssertionError as problem:
            problems.append(str(problem))
    assert not problems, "\n".join(problems)


@pytest.fixture(params=["memory", "redis"])
def broker(request):
    """None for the memory broker, else a RedisServer: the same test runs on both."""
    return request.getfixturevalue("redis") if request.param == "redis" else None


@pytest.fixture
def hub(make_hub, broker):
    return make_hub(redis=broker)


@pytest.fixture
def clients():
    """clients(hub, kind, channel, …) opens, connects and subscribes; all are closed at the end."""
    with contextlib.ExitStack() as stack:
        def start(hub, kind=JsonClient, *channels, headers=None, **connect):
            client = stack.enter_context(kind.open(hub.ws_url, headers=headers))
            client.connect(**connect)
            for channel in channels:
                client.subscribe(channel)
            return client

        yield start


@pytest.fixture(scope="session")
def shared_postgres():
    """One cluster for all tests that do not break it."""
    with Postgres() as server:
        yield server


@pytest.fixture
def postgres():
    """A private one, to be stopped and killed."""
    with Postgres() as server:
        yield server


@pytest.fixture
def world(redis, shared_postgres):
    """A database, a Redis, and services as the test wants them; all are judged at the end."""
    with contextlib.closing(World(redis, shared_postgres)) as one:
        yield one


@pytest.fixture
def breakable(redis, postgres):
    with contextlib.closing(World(redis, postgres)) as one:
        yield one
