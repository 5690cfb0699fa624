"""Each service has a database that no other service can get into.  The databases and roles are made
by tools/postgres.sh, as ./dev up makes them, and the services run with them."""

import itertools
import re
import subprocess

import pytest

from support.redis_server import RedisServer
from support.whole_shop import SERVICES, ShopDatabases, WholeShop

TABLES = {"user": "account", "order": "orders", "payment": "payment"}


@pytest.fixture(scope="module")
def shop():
    """All three have been at work: there is something to read in each database."""
    with (ShopDatabases() as databases, RedisServer() as redis,
          WholeShop(databases, redis) as whole):
        yield whole


def psql(shop, name, sql, *, database=None):
    """As the role of the service `name`, with the password it has: (exit status, output, errors)"""
    url, own = shop.databases.urls[name].rsplit("/", 1)
    done = subprocess.run(
        [shop.databases.bin / "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql,
         f"{url}/{database or own}"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout.strip(), done.stderr


@pytest.mark.parametrize("name", SERVICES)
def test_a_role_does_its_own_work(shop, name):
    code, output, errors = psql(
        shop, name, f"create table try (n integer); insert into try values (7); select n from try; "
                    f"drop table try; select count(*) >= 0 from {TABLES[name]}")
    assert (code, output.split()) == (0, ["7", "t"]), errors


@pytest.mark.parametrize("name, other", itertools.permutations(SERVICES, 2))
def test_a_role_is_refused_at_the_databases_of_others(shop, name, other):
    code, output, errors = psql(shop, name, f"select * from {TABLES[other]}",
                                database=f"wirehub_{other}")
    assert code != 0 and output == ""
    assert f'permission denied for database "wirehub_{other}"' in errors


@pytest.mark.parametrize("name, other", itertools.permutations(SERVICES, 2))
def test_a_role_cannot_become_another_or_let_itself_in(shop, name, other):
    for sql in (f"set role wirehub_{other}", f"grant wirehub_{other} to wirehub_{name}",
                f"grant connect on database wirehub_{other} to wirehub_{name}",
                f"alter role wirehub_{other} password 'mine'",
                f"alter role wirehub_{name} superuser", "create role more",
                "create database more", f"drop database wirehub_{other}",
                f"create database copy template wirehub_{other}"):
        code, _, errors = psql(shop, name, sql)
        assert code != 0 and re.search("permission denied|must (be|have)", errors), (sql, errors)


@pytest.mark.parametrize("name, other", itertools.permutations(SERVICES, 2))
def test_the_password_of_one_is_none_of_another(shop, name, other):
    url = shop.databases.urls[name].replace(f"//wirehub_{name}:", f"//wirehub_{other}:")
    url = url.rsplit("/", 1)[0] + f"/wirehub_{other}"
    done = subprocess.run([shop.databases.bin / "psql", "-X", "-w", "-c", "select 1", url],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                          check=False)
    assert done.returncode != 0 and "password authentication failed" in done.stderr


def test_the_services_run_with_these_roles_each_in_its_own_database(shop):
    ann = shop.register("ann")  # all of them have been asked something
    assert ann.post("orders.v1.list", {})[0] == 200
    assert ann.post("payments.v1.list", {})[0] == 200
    rows = shop.databases.sql("select distinct usename, datname from pg_stat_activity "
                              "where backend_type = 'client backend' and pid <> pg_backend_pid()")
    assert sorted(rows) == sorted([f"wirehub_{name}", f"wirehub_{name}"] for name in SERVICES)
    for name in SERVICES:
        owners = shop.databases.sql(
            "select distinct tableowner from pg_tables where schemaname not in "
            "('pg_catalog', 'information_schema')", f"wirehub_{name}")
        assert owners == [[f"wirehub_{name}"]]
