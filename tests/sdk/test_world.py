"""Both servers behave alike where tests rely on it, whoever asks."""

import json
import socket
import uuid

import pytest

from support.client import Disconnected, JsonClient, MsgpackClient, ReplyError
from support.centrifugo import GO_NEEDED, Unavailable, obtain
from support.protobuf import ProtobufClient
from support.sdk_server import ApiError
from support.sdk_world import Control

KINDS = {"json": JsonClient, "protobuf": ProtobufClient, "msgpack": MsgpackClient}


@pytest.fixture
def name():
    """Nobody had it before."""
    return uuid.uuid4().hex[:8]


@pytest.fixture
def connect(world):
    clients = []

    def start(user=None, kind=JsonClient, **options):
        client = kind.open(world.url)
        clients.append(client)
        client.connect(token=world.server.token(user, **options))
        return client

    yield start
    world.proxy.heal()
    for client in clients:
        client.close()


def test_published_by_the_api_and_received_through_the_proxy(world, connect, name):
    client = connect(name)
    client.subscribe(f"history:{name}")
    answer = world.server.publish(f"history:{name}", {"n": 1})
    assert (answer["offset"], len(answer["epoch"]) > 0) == (1, True)
    publication = client.next_publication(f"history:{name}")
    assert publication["data"] == {"n": 1}
    assert world.server.api("presence_stats", channel=f"presence:{name}") == \
        {"num_clients": 0, "num_users": 0}


def test_the_methods_are_there(world, connect, name):
    client = connect(name)
    for data in ({"a": [1, "ü"]}, "text", 7):
        assert client.rpc("suite.v1.echo", data)["data"] == data
    assert client.rpc("suite.v1.slow", {"seconds": 0.1})["data"] == {"seconds": 0.1}
    for temporary in (False, True):
        with pytest.raises(ReplyError) as error:
            client.rpc("suite.v1.fail",
                       {"code": 499, "message": "as told", "temporary": temporary})
        assert (error.value.code, error.value.temporary) == (499, temporary)


def test_the_encodings_that_it_says_it_has_work(world, connect, name):
    for encoding in world.server.encodings:
        client = connect(name, KINDS[encoding])
        data = {"of": encoding}
        sent = json.dumps(data).encode() if encoding == "protobuf" else data
        assert client.rpc("suite.v1.echo", sent)["data"] == sent


def test_bytes_pass_through_the_methods(world, connect, name):
    client = connect(name, ProtobufClient)
    assert client.rpc("suite.v1.echo", b"\x00\xff\n")["data"] == b"\x00\xff\n"


@pytest.mark.parametrize("code", [None, 3499, 4000, 4999])
def test_disconnect_comes_with_the_code_asked_for(world, connect, name, code):
    client = connect(name)
    world.server.disconnect(name, code, "as told")
    with pytest.raises(Disconnected) as end:
        client.rpc("suite.v1.slow", {"seconds": 5})
    assert end.value.code == (code or 3503)


def test_unsubscribe_comes_with_2000(world, connect, name):
    client = connect(name)
    client.subscribe(f"plain:{name}")
    world.server.unsubscribe(name, f"plain:{name}")
    push = client.next_push()
    assert push["unsubscribe"]["code"] == 2000


def test_an_error_of_the_api_is_one(world):
    with pytest.raises(ApiError) as error:
        world.server.publish("nowhere:x", 1)
    assert error.value.code == 102


def test_after_a_kill_the_port_the_streams_and_the_methods_are_the_same(make_world, name):
    world = make_world()
    port = world.server.port
    assert world.server.publish(f"history:{name}", {"n": 1})["offset"] == 1
    world.do({"server": "kill"})
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 1)
    world.do({"server": "restart"})
    assert world.server.port == port
    assert world.server.publish(f"history:{name}", {"n": 2})["offset"] == 2
    with JsonClient.open(world.url) as client:
        client.connect()
        assert client.rpc("suite.v1.echo", {})["data"] == {}


def test_a_stream_that_was_lost_begins_anew(world, name):
    first = world.server.publish(f"history:{name}", {"n": 1})
    world.do({"lose": f"history:{name}"})
    second = world.server.publish(f"history:{name}", {"n": 2})
    assert second["offset"] == 1
    assert second["epoch"] != first["epoch"]


def test_control_does_the_same_for_programs(world, name):
    with Control(world) as control:
        host, port = control.address.split(":")
        with socket.create_connection((host, int(port)), 5) as sock:
            stream = sock.makefile("rw", encoding="utf-8")

            def ask(step):
                stream.write(json.dumps(step) + "\n")
                stream.flush()
                return json.loads(stream.readline())

            assert ask({"about": ""})["result"]["server"] == world.server.name
            published = ask({"api": "publish", "channel": f"history:{name}", "data": 1})
            assert published["result"]["offset"] == 1
            assert ask({"token": {"sub": "ann", "exp_in": 5}})["result"].count(".") == 2
            assert "unknown channel" in ask({"api": "publish", "channel": "nowhere:x",
                                             "data": 1})["error"]
            assert "no step" in ask({"nothing": 1})["error"]
            assert ask({"proxy": "cut"})["result"] == 0


@pytest.mark.parametrize("program, reason", [
    (None, "go is not installed"),
    ("#!/bin/sh\necho go1.25.9\n", r"go1\.25\.9 is too old"),
    (f"#!/bin/sh\n[ $1 = env ] && echo go{GO_NEEDED[0]}.{GO_NEEDED[1]} || "
     "{ echo no modules here >&2; exit 1; }\n", "no modules here"),
])
def test_a_machine_that_cannot_have_centrifugo_says_why(tmp_path, monkeypatch, program, reason):
    if program is not None:
        (tmp_path / "go").write_text(program)
        (tmp_path / "go").chmod(0o755)
    monkeypatch.setattr("support.centrifugo.ROOT", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path) if program is None else f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(Unavailable, match=reason):
        obtain()
