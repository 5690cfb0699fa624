"""The user service as one process or two, over a real PostgreSQL and a real Redis; tokens are
judged by a real hub."""

import json
import re
import subprocess
import threading

import pytest

from support.client import JsonClient
from support.hub import ROOT
from support.postgres import Postgres
from support.service import Caller, wait_until
from support.user_service import PASSWORD, Refused, UserService, claims_of, numbers

USER_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


@pytest.fixture(scope="module")
def postgres():
    with Postgres() as server:
        yield server


@pytest.fixture
def database(postgres):
    """The name of an empty database."""
    name = f"users_{next(numbers)}"
    postgres.create(name)
    return name


@pytest.fixture
def make_users(redis, postgres, database):
    """make_users(options…) starts an instance and waits until it is ready."""
    started = []

    def start(options=None, **rest):
        service = UserService(redis, postgres.url(database), options=options, **rest)
        started.append(service)
        return service.wait_ready()

    yield start
    for service in reversed(started):
        service.close()


@pytest.fixture
def users(make_users):
    return make_users()


@pytest.fixture
def rows(postgres, database):
    """rows("select …") in the service's database."""
    return lambda sql: postgres.sql(sql, database)


def refused(code, function, *args, **kwargs):
    """The text of the refusal."""
    with pytest.raises(Refused) as caught:
        function(*args, **kwargs)
    assert caught.value.code == code, caught.value
    return caught.value.message


def in_parallel(functions):
    """Results, or exceptions, of functions that start together."""
    results = [None] * len(functions)
    barrier = threading.Barrier(len(functions))

    def run(index):
        barrier.wait()
        try:
            results[index] = functions[index]()
        except Exception as error:  # pylint: disable=broad-except
            results[index] = error

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(functions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


# Accounts


def test_registration_gives_an_account_and_both_tokens(users):
    ann = users.register(" Ann@Example.org ", name="Ann Berg")
    assert USER_ID.fullmatch(ann["user"]["id"])
    assert ann["user"]["email"] == "ann@example.org"
    assert ann["user"]["name"] == "Ann Berg"
    assert ann["user"]["roles"] == []
    assert ann["refresh_token"].startswith("whr_")
    assert ann["expires_in"] == 600
    claims = claims_of(ann["access_token"])
    user = ann["user"]["id"]
    assert claims["sub"] == user
    assert claims["exp"] - claims["iat"] == 600
    assert claims["iss"] == "wirehub-user"
    assert claims["roles"] == []
    assert claims["info"] == {"name": "Ann Berg"}
    assert claims["channels"] == [f"orders:live#{user}", f"payments:live#{user}",
                                  f"users:live#{user}"]
    assert "aud" not in claims and "email" not in json.dumps(claims)
    assert claims_of(ann["access_token"], 0)["kid"] in users.kids()


@pytest.mark.parametrize("change, word", [
    ({"email": "ann"}, "email"), ({"email": None}, "email"), ({"email": 7}, "email"),
    ({"password": "short"}, "password"), ({"password": "x" * 257}, "password"),
    ({"password": None}, "password"), ({"name": ""}, "name"), ({"name": "a\nb"}, "name"),
    ({"name": "n" * 101}, "name"),
])
def test_what_cannot_be_an_account_is_refused(users, rows, change, word):
    params = {"email": "ann@example.org", "password": PASSWORD, "name": "Ann", **change}
    assert word in refused(107, users.call, "register", params)
    assert rows("select count(*) from account") == [["0"]]


def test_an_address_is_registered_once(users, rows):
    users.register("ann@example.org")
    assert refused(409, users.register, "ANN@example.org") == "email is taken"
    assert rows("select count(*) from account") == [["1"]]


def test_parallel_registrations_of_one_address_make_one_account(redis, make_users, rows):
    instances = [make_users({"throttle.peer_burst": 1000}) for _ in range(2)]
    assert len(instances) == 2
    callers = [Caller(redis, f"parallel-{i}") for i in range(8)]
    params = {"email": "ann@example.org", "password": PASSWORD, "name": "Ann"}
    answers = in_parallel([lambda c=c: c.call("users.v1.register", params, user="")
                           for c in callers])
    for caller in callers:
        caller.close()
    codes = sorted(answer.code for answer in answers)
    assert codes.count(0) == 1 and set(codes) <= {0, 111, 409}, codes
    assert rows("select count(*) from account") == [["1"]]
    assert rows("select count(*) from refresh_token") == [["1"]]
    assert rows("select count(*) from outbox") == [["1"]]


def test_registration_under_one_key_happens_once_and_leaves_no_token_behind(users, rows):
    first = users.register("ann@example.org", key="key-1")
    second = users.register("ann@example.org", key="key-1")
    assert second["user"] == first["user"]
    assert users.refresh(second["refresh_token"])["user"] == first["user"]
    assert rows("select count(*) from account") == [["1"]]
    assert rows("select count(*) from outbox") == [["1"]]
    member = {"email": "ann@example.org", "password": PASSWORD, "name": "Ann",
              "idempotency_key": "key-1"}
    assert users.call("register", member)["user"] == first["user"]
    assert "other parameters" in refused(409, users.register, "ann@example.org",
                                         "another password", key="key-1")
    assert "other parameters" in refused(409, users.register, "ann@example.org", name="Bob",
                                         key="key-1")
    refused(409, users.register, "ann@example.org", key="key-2")
    dump = "\n".join("|".join(row) for table in ("account", "refresh_token", "outbox",
                                                 "idempotency") for row in rows(
                                                     f"select t::text from {table} t"))
    for secret in (PASSWORD, first["refresh_token"], first["access_token"]):
        assert secret not in dump


def test_me_is_the_account_of_the_token(users):
    ann = users.register("ann@example.org")["user"]
    assert users.call("me", user=ann["id"]) == {"user": ann}
    refused(401, users.call, "me", user="0190c5a8-6f3e-7cc1-9d53-0123456789ab")
    refused(401, users.call, "me", user="'; drop table account; --")


def test_update_changes_the_name_and_tells(users, rows):
    ann = users.register("ann@example.org")["user"]
    assert users.call("update", {"name": "Ann Berg"}, user=ann["id"])["user"]["name"] == "Ann Berg"
    assert users.call("update", {"name": "Ann Berg"}, user=ann["id"])["user"]["name"] == "Ann Berg"
    assert rows("select type from outbox order by id") == [["user.registered.v1"],
                                                           ["user.updated.v1"]]
    refused(107, users.call, "update", {}, user=ann["id"])
    refused(107, users.call, "update", {"name": " "}, user=ann["id"])


def test_new_password_needs_the_old_one_and_ends_all_other_sessions(users):
    ann = users.register("ann@example.org")
    other = users.login("ann@example.org")
    user = ann["user"]["id"]
    meta = json.dumps(claims_of(ann["access_token"])["meta"]).encode()
    change = {"password": "another password", "current_password": PASSWORD}
    refused(107, users.call, "update", {"password": "another password"}, user=user)
    refused(403, users.call, "update", {**change, "current_password": "wrong password"}, user=user)
    users.refresh(other["refresh_token"])
    for _ in range(2):  # a second time as well: the answer may have been lost
        users.call("update", change, user=user, meta=[1, meta])
    refused(401, users.login, "ann@example.org")
    users.login("ann@example.org", "another password")
    refused(401, users.refresh, other["refresh_token"])
    users.refresh(ann["refresh_token"])


def test_roles_are_set_once_and_are_in_the_next_token(users, rows):
    ann = users.register("ann@example.org")
    user = ann["user"]["id"]
    for _ in range(2):
        result = users.call("set_roles", {"user": user, "roles": ["admin", "clerk"]}, key="k",
                            user=user, roles=["admin"])
        assert result["user"]["roles"] == ["admin", "clerk"]
    assert rows("select type from outbox order by id desc limit 2")[::-1] == [
        ["user.registered.v1"], ["user.updated.v1"]]
    again = users.refresh(ann["refresh_token"])
    assert claims_of(again["access_token"])["roles"] == ["admin", "clerk"]
    refused(404, users.call, "set_roles", {"user": "nobody", "roles": []}, user=user,
            roles=["admin"])
    refused(107, users.call, "set_roles", {"user": user, "roles": ["a,b"]}, user=user,
            roles=["admin"])


# Sessions


def test_login_opens_a_session_of_its_own(users):
    ann = users.register("ann@example.org")
    again = users.login("Ann@example.org")
    assert again["user"] == ann["user"]
    sessions = {claims_of(one["access_token"])["meta"]["session"] for one in (ann, again)}
    assert len(sessions) == 2


def test_wrong_password_and_unknown_account_are_told_alike(users):
    users.register("ann@example.org")
    texts = {refused(401, users.login, "ann@example.org", "wrong password"),
             refused(401, users.login, "bob@example.org", "wrong password"),
             refused(401, users.login, "ann@example.org", ""),
             refused(401, users.login, "ann@example.org", "x" * 10000)}
    assert len(texts) == 1


def test_throttle_tells_not_whether_there_is_an_account(make_users):
    users = make_users({"throttle.email_burst": 3, "throttle.email_interval": "1h",
                        "throttle.peer_burst": 100})
    users.register("ann@example.org")
    answers = {}
    for email in ("ann@example.org", "bob@example.org"):
        answers[email] = [refused(401, users.login, email, "wrong password") for _ in range(3)]
        text = refused(429, users.login, email)
        answers[email].append(re.sub(r"\d+", "N", text))
    assert answers["ann@example.org"] == answers["bob@example.org"]
    assert answers["ann@example.org"][-1] == "too many attempts, try again in N s"


def test_right_password_fills_the_bucket_of_the_address(make_users):
    users = make_users({"throttle.email_burst": 2, "throttle.email_interval": "1h"})
    users.register("ann@example.org")
    for _ in range(3):
        refused(401, users.login, "ann@example.org", "wrong password")
        users.login("ann@example.org")


def test_one_network_is_throttled_over_all_addresses_and_instances(make_users):
    options = {"throttle.peer_burst": 4, "throttle.peer_interval": "1h"}
    users, _ = make_users(options), make_users(options)
    codes = []
    for i in range(6):
        try:
            users.login(f"user{i}@example.org", peer=f"2001:db8:0:1::{i}")
        except Refused as refusal:
            codes.append(refusal.code)
    assert codes == [401] * 4 + [429] * 2
    refused(401, users.login, "user9@example.org", peer="2001:db8:0:2::1")


def test_refresh_gives_new_tokens_and_the_old_one_is_used_up(users, rows):
    ann = users.register("ann@example.org")
    second = users.refresh(ann["refresh_token"])
    assert second["refresh_token"] != ann["refresh_token"]
    assert claims_of(second["access_token"])["meta"] == claims_of(ann["access_token"])["meta"]
    third = users.refresh(second["refresh_token"])
    assert third["user"] == ann["user"]
    assert rows("select count(*) from refresh_token where used_at is null") == [["1"]]


def test_lost_answer_is_repeated_with_the_same_successor(users, rows):
    ann = users.register("ann@example.org")
    second = users.refresh(ann["refresh_token"])
    again = users.refresh(ann["refresh_token"])
    assert again["refresh_token"] == second["refresh_token"]
    assert rows("select count(*) from refresh_token") == [["2"]]
    users.refresh(second["refresh_token"])


def test_tabs_that_refresh_at_once_get_the_same_successor(redis, make_users):
    users, _ = make_users(), make_users()
    ann = users.register("ann@example.org")
    callers = [Caller(redis, f"tab-{i}") for i in range(6)]
    params = {"refresh_token": ann["refresh_token"]}
    answers = in_parallel([lambda c=c: c.call("users.v1.refresh", params, user="")
                           for c in callers])
    for caller in callers:
        caller.close()
    assert [answer.code for answer in answers] == [0] * 6
    assert len({answer.data["refresh_token"] for answer in answers}) == 1


def test_token_used_after_its_successor_ends_the_family(users):
    ann = users.register("ann@example.org")
    other = users.login("ann@example.org")
    second = users.refresh(ann["refresh_token"])
    third = users.refresh(second["refresh_token"])
    refused(401, users.refresh, ann["refresh_token"])
    refused(401, users.refresh, third["refresh_token"])
    assert users.find("refresh_reused", user=ann["user"]["id"])
    users.refresh(other["refresh_token"])


def test_token_used_after_the_grace_ends_the_family(users, rows):
    ann = users.register("ann@example.org")
    second = users.refresh(ann["refresh_token"])
    rows("update refresh_token set used_at = used_at - interval '10 seconds'")
    refused(401, users.refresh, ann["refresh_token"])
    refused(401, users.refresh, second["refresh_token"])


def test_refused_refresh_tokens_are_told_alike(users, rows):
    ann, bob = users.register("ann@example.org"), users.register("bob@example.org")
    users.call("logout", {"refresh_token": ann["refresh_token"]})
    rows("update refresh_token set expires_at = now() where revoked_at is null")
    texts = {refused(401, users.refresh, token)
             for token in (ann["refresh_token"], bob["refresh_token"], "whr_" + "A" * 43, "", "x")}
    assert len(texts) == 1
    refused(107, users.call, "refresh", {})


def test_session_ends_however_often_it_was_refreshed(users, rows):
    ann = users.register("ann@example.org")
    rows("update refresh_token set session_ends_at = now() + interval '1 hour'")
    users.refresh(ann["refresh_token"])
    assert rows("select count(*) from refresh_token where used_at is null and "
                "expires_at = session_ends_at") == [["1"]]


def test_logout_ends_the_session_and_can_be_repeated(users):
    ann = users.register("ann@example.org")
    other = users.login("ann@example.org")
    second = users.refresh(ann["refresh_token"])
    for token in (second["refresh_token"], second["refresh_token"], "whr_unknown", ""):
        assert users.call("logout", {"refresh_token": token}) in ({}, None)
    refused(401, users.refresh, second["refresh_token"])
    users.refresh(other["refresh_token"])


def test_hash_of_another_cost_is_made_anew_at_login(make_users, rows):
    make_users().register("ann@example.org")
    before = rows("select password_hash from account")
    users = make_users({"password.cost": 2})
    wait_until(lambda: [users.login("ann@example.org")] and
               rows("select password_hash from account") != before, "no new hash")
    after = rows("select password_hash from account")
    assert after[0][0].split("$")[2] != before[0][0].split("$")[2]
    users.login("ann@example.org")


# Keys and the hub


def hub_config(users):
    live = {"allow_user_limited_channels": True, "history_size": 10, "history_ttl": "60s",
            "force_recovery": True}
    return {"client": {"allow_anonymous_connect_without_token": False,
                       "token": {"jwks_public_endpoint": users.jwks_url}},
            "channel": {"namespaces": [{"name": name, **live}
                                       for name in ("orders", "payments", "users")]}}


def test_hub_takes_the_token_and_sends_what_happens_to_the_user(users, make_hub, clients, redis):
    ann = users.register("ann@example.org")
    hub = make_hub(hub_config(users), redis=redis)
    client = clients(hub, JsonClient, token=hub.keep_secret(ann["access_token"]))
    user = ann["user"]["id"]
    users.call("update", {"name": "Ann Berg"}, user=user)
    event = client.next_publication(f"users:live#{user}", timeout=10)["data"]
    assert event["type"] == "user.updated.v1" and event["subject"] == user
    assert event["data"] == {"user": user, "name": "Ann Berg", "roles": []}


@pytest.mark.skipif(not (ROOT / "hub/http_rpc.c").exists(), reason="this hub has no /auth")
def test_accounts_over_rest(users, make_hub, redis):
    hub = make_hub(hub_config(users), redis=redis)

    def post(path, body, token=None, key=None):
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {hub.keep_secret(token)}"
        if key:
            headers["Idempotency-Key"] = key
        response = hub.http(path, method="POST", data=json.dumps(body).encode(), headers=headers)
        return response.status, response.body

    wanted = {"email": "ann@example.org", "password": hub.keep_secret(PASSWORD), "name": "Ann"}
    wait_until(lambda: post("/auth/logout", {"refresh_token": "none"})[0] == 200,
               "the hub does not see the service")
    status, first = post("/auth/register", wanted, key="rest-1")
    assert status == 200, first
    status, second = post("/auth/register", wanted, key="rest-1")
    assert status == 200 and json.loads(second)["user"] == json.loads(first)["user"]
    ann = json.loads(first)
    status, body = post("/rpc/users.v1.me", {}, token=ann["access_token"])
    assert status == 200 and json.loads(body) == {"user": ann["user"]}
    assert post("/rpc/users.v1.me", {})[0] == 401
    roles = {"user": ann["user"]["id"], "roles": ["admin"]}
    assert post("/rpc/users.v1.set_roles", roles, token=ann["access_token"])[0] == 403
    assert post("/rpc/users.v1.set_roles", roles)[0] == 401
    assert post("/auth/login", {**wanted, "password": "wrong password"})[0] == 401
    assert post("/auth/register", {**wanted, "email": "ann"})[0] == 400
    status, body = post("/auth/refresh", {"refresh_token": ann["refresh_token"]})
    assert status == 200
    assert post("/auth/logout", {"refresh_token": json.loads(body)["refresh_token"]})[0] == 200
    assert post("/auth/refresh", {"refresh_token": json.loads(body)["refresh_token"]})[0] == 401


def test_keys_rotate_under_connected_clients(make_users, make_hub, clients, redis):
    users = make_users({"token.key_lead": "2s", "token.key_lifetime": "1h"})
    ann = users.register("ann@example.org")
    hub = make_hub(hub_config(users), redis=redis)
    first = clients(hub, JsonClient, token=ann["access_token"])
    admin = {"user": ann["user"]["id"], "roles": ["admin"]}
    new = users.call("rotate_key", {}, **admin)
    refused(409, users.call, "rotate_key", {}, **admin)
    wait_until(lambda: new["kid"] in users.kids(), "the next key is not published")
    old_kid = claims_of(ann["access_token"], 0)["kid"]
    assert claims_of(users.login("ann@example.org")["access_token"], 0)["kid"] == old_kid, \
        "a key signed as soon as it was published"
    late = wait_until(lambda: (lambda session: session if claims_of(
        session["access_token"], 0)["kid"] == new["kid"] else None)(users.login("ann@example.org")),
                      "the new key does not sign")
    assert users.kids() == [new["kid"], old_kid]
    clients(hub, JsonClient, token=late["access_token"])
    clients(hub, JsonClient, token=ann["access_token"])
    users.call("update", {"name": "Ann Berg"}, user=ann["user"]["id"])
    assert first.next_publication(timeout=10)["data"]["type"] == "user.updated.v1"


def test_compromised_key_is_gone_at_once(users):
    ann = users.register("ann@example.org")
    new = users.call("rotate_key", {"compromised": True}, user=ann["user"]["id"], roles=["admin"])
    again = users.login("ann@example.org")
    assert claims_of(again["access_token"], 0)["kid"] == new["kid"]
    assert users.kids() == [new["kid"]]


def test_dead_keys_are_forgotten(users, rows):
    ann = users.register("ann@example.org")
    users.call("rotate_key", {}, user=ann["user"]["id"], roles=["admin"])
    assert len(rows("select 1 from signing_key")) == 2
    rows("update signing_key set use_from = now() - interval '1 hour' where retired_at is null")
    rows("update signing_key set retired_at = now() - interval '12 minutes' "
         "where retired_at is not null")
    wait_until(lambda: len(users.kids()) == 1, "the dead key is still published")


def test_instances_that_start_together_make_one_key(redis, postgres, database, rows):
    instances = [UserService(redis, postgres.url(database)) for _ in range(3)]
    for instance in instances:
        instance.wait_ready()
    kids = [instance.kids() for instance in instances]
    for instance in instances:
        instance.close()
    assert kids[0] == kids[1] == kids[2] and len(kids[0]) == 1
    assert rows("select count(*) from signing_key") == [["1"]]


def test_keys_are_published_while_postgresql_is_away(redis):
    with Postgres() as own:
        with UserService(redis, own.create("users")).wait_ready() as users:
            kids = users.kids()
            own.stop()
            refused(1503, users.register, "ann@example.org")
            assert users.kids() == kids
            own.start()
            wait_until(users.is_ready, "not ready again")
            users.register("ann@example.org")


def test_sealed_keys_open_with_the_previous_secret_and_with_no_other(redis):
    old = "a sealing secret that only the tests know 91be"
    new = "another sealing secret that is long enough too"
    with Postgres() as own:
        url = own.create("users")
        with UserService(redis, url, secret=old).wait_ready() as users:
            users.register("ann@example.org")
        with UserService(redis, url, secret=new, env={
                "WIREHUB_USER_TOKEN_PREVIOUS_SEALING_SECRET": old}).wait_ready() as users:
            users.login("ann@example.org")
        with UserService(redis, url, secret=new).wait_ready() as users:
            refused(100, users.login, "ann@example.org")


# What it costs and what it says


def statements():
    done = subprocess.run([ROOT / "build/debug/bin/user_statements"], capture_output=True,
                          text=True, check=True)
    return [line.split("\t") for line in done.stdout.splitlines()]


def test_no_statement_reads_a_growing_table_from_end_to_end(users, postgres, database):
    """Signing keys are a handful; everything else grows with people and what they do."""
    assert users.is_ready()  # its tables are what is looked at
    postgres.sql("""
        insert into account (id, email, name, password_hash)
            select gen_random_uuid(), 'user' || i || '@example.org', 'n', 'h'
            from generate_series(1, 5000) i;
        insert into refresh_token (hash, family, account, expires_at, session_ends_at)
            select sha256(email::bytea), gen_random_uuid(), id,
                   now() + (random() * 100 - 1) * interval '1 hour', now() + interval '9 days'
            from account;
        insert into throttle select sha256(email::bytea),
                   now() + (random() * 100 - 1) * interval '1 hour' from account;
        analyze""", database)
    found = statements()
    assert len(found) > 15
    for name, sql in found:
        count = max([0] + [int(number) for number in re.findall(r"\$(\d+)", sql)])
        arguments = f"({', '.join(['null'] * count)})" if count else ""
        plan = "\n".join(row[0] for row in postgres.sql(
            f"set plan_cache_mode = force_generic_plan; prepare s as {sql}; "
            f"explain execute s{arguments}", database))
        scanned = set(re.findall(r"Seq Scan on (\w+)", plan))
        assert scanned <= {"signing_key"}, f"{name} reads all of {scanned}:\n{plan}"


def test_wrong_configuration_is_told_and_nothing_starts():
    binary = ROOT / "build/debug/bin/wirehub-user"
    done = subprocess.run([binary, "check-config", "--token.key_lead=2h",
                           "--token.key_lifetime=3h"], capture_output=True, text=True,
                          env={"WIREHUB_USER_DATABASE_URL": "postgresql://x"}, check=False)
    assert done.returncode != 0
    assert "token.sealing_secret" in done.stderr + done.stdout
    assert "twice token.key_lead" in done.stderr + done.stdout
