"""No statement of the order service reads a table that grows from end to end."""

import json
import subprocess
import uuid

import pytest

from support.order_service import OrderService, binary_path

ROWS = """
insert into product select gen_random_uuid(), 'sku-' || i, 'Name', 100, 'EUR', 1000
    from generate_series(1, 5000) i;
insert into orders (id, user_id, payment_id, state, reason, total_minor, currency, card_last4)
    select gen_random_uuid(), 'u' || i % 500, gen_random_uuid(),
           (case when i % 3 = 0 then 'cancelled' else 'confirmed' end)::order_state,
           case when i % 3 = 0 then 'refunded' end, 100, 'EUR', '4242'
    from generate_series(1, 20000) i;
insert into order_line select id, n, (select id from product limit 1), 'Name', 1, 100
    from orders, generate_series(1, 2) n;
insert into saga select id, 'closed', null, 1, 'captured', null from orders offset 1000;
insert into saga select id, 'awaiting_payment', now() + random() * interval '1 hour', 1, 'requested',
    '4242424242424242' from orders o where not exists (select from saga s where s.order_id = o.id);
insert into order_summary select id, user_id, state, reason, 'captured', 100, 'EUR', 2, created_at,
    updated_at from orders;
analyze;
"""


def statements():
    path = binary_path().parent / "order_sql"
    return json.loads(subprocess.run([path], capture_output=True, check=True).stdout)


@pytest.fixture
def service(redis, shared_postgres):
    database = f"order_{uuid.uuid4().hex}"
    shared_postgres.create(database)
    with OrderService(redis, shared_postgres, database) as service:
        yield service


def test_no_statement_scans_a_growing_table(service):
    service.sql(ROWS)
    explained = 0
    for statement in statements():
        if statement["reads_all"]:
            continue
        count = max((n for n in range(1, 20) if f"${n}" in statement["text"]), default=0)
        values = ", ".join(["null"] * count)
        # The plan for values that are not known, which is what a prepared statement ends up with.
        plan = service.sql(f"""set plan_cache_mode = force_generic_plan;
            prepare asked as {statement['text']};
            explain (costs off) execute asked{f'({values})' if count else ''}""")
        text = "\n".join(row[0] for row in plan)
        assert "Seq Scan" not in text, f"{statement['name']}\n{text}"
        explained += 1
    assert explained > 15


def test_statements_that_read_whole_tables_are_those_of_the_rebuild_alone(service):
    assert [row["name"] for row in statements() if row["reads_all"]] == [
        "summary_lock", "summary_clear", "summary_fill"]
