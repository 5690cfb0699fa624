"""The first promise: a plain PUBLISH reaches every subscriber, whatever becomes of a worker."""

import json

from support.client import JsonClient, MsgpackClient


def test_a_ready_hub_answers_its_health_paths(hub):
    assert hub.http("/livez").status == 200
    ready = json.loads(hub.http("/readyz").body)
    assert ready["ready"] is True
    assert hub.http("/no-such-path").status == 404


def test_plain_publish_reaches_clients_of_both_encodings_on_all_workers(make_hub, redis):
    hubs = [make_hub({"workers": 2}, redis=redis) for _ in range(2)]
    clients = [kind.open(hub.ws_url) for hub in hubs for kind in (JsonClient, MsgpackClient)
               for _ in range(4)]
    for client in clients:
        client.connect()
        client.subscribe("market:ticker")
    for number in range(20):
        assert 1 <= redis.publish("market:ticker", json.dumps({"n": number})) <= 4
    for client in clients:
        received = [client.next_publication("market:ticker")["data"]["n"] for _ in range(20)]
        assert received == list(range(20))
    for client in clients:
        client.close()


def test_a_token_makes_a_user_and_stays_out_of_the_log(hub):
    with JsonClient.open(hub.ws_url) as client:
        client.connect(token=hub.token("ann"))
        client.subscribe("orders:live#ann")


def test_a_killed_worker_is_replaced_and_clients_come_back(make_hub, redis):
    hub = make_hub({"workers": 1}, redis=redis)
    with JsonClient.open(hub.ws_url) as client:
        client.connect()
        mark = hub.log_mark()
        victim = hub.kill_worker()
        assert client.wait_close().code == 1006
    replacement = hub.wait_log("worker_started", since=mark)
    assert replacement["pid"] != victim
    hub.wait_ready()
    with JsonClient.open(hub.ws_url) as client:
        client.connect()
        client.subscribe("market:ticker")
        redis.publish("market:ticker", "1")
        assert client.next_publication()["data"] == 1


def test_sigterm_tells_clients_to_come_back_and_exits_0(hub):
    with JsonClient.open(hub.ws_url) as client:
        client.connect()
        hub.terminate()
        assert (client.wait_close().code, hub.exit_code) == (3001, 0)
