"""Fixtures for tests that drive real processes.

    def test_x(hub): ...            a ready hub, once with the memory broker, once with Redis
    def test_y(make_hub, redis):    hubs as the test wants them, one private Redis
"""

import pytest

from support.hub import Hub, binary_path
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
