"""No statement of the payment service reads a table that grows from end to end.

The tables of the simulated provider are no part of this: they stand for another company's books,
and no statement of the service itself names them, which is a claim here too."""

import json
import re
import subprocess
import uuid

import pytest

from support.payment_service import PaymentService, binary_path

ROWS = """
insert into payment (id, order_id, user_id, amount_minor, currency, card_last4, state, wish)
    select gen_random_uuid(), gen_random_uuid(), 'u' || i % 500, 100, 'EUR', '4242',
           (case when i % 3 = 0 then 'refunded' else 'captured' end)::payment_state, 'nothing'
    from generate_series(1, 20000) i;
insert into payment (id, order_id, user_id, amount_minor, currency, card, card_last4, state, wish,
                     due_at, lease_until)
    select gen_random_uuid(), gen_random_uuid(), 'u' || i % 500, 100, 'EUR', '4242424242424242',
           '4242', 'requested', 'authorize', now() + interval '1 hour',
           case when i % 2 = 0 then now() + interval '1 hour' end
    from generate_series(1, 200) i;
analyze;
"""
# What each finds its rows by.
INDEXES = {"lock": "payment_pkey", "insert": "", "update": "payment_pkey", "claim": "payment_due",
           "find": "payment_(pkey|of_user)", "find_by_order": "payment_order_id_key",
           "page_first": "payment_of_user", "page_next": "payment_of_user"}


def statements():
    path = binary_path().parent / "payment_sql"
    return json.loads(subprocess.run([path], capture_output=True, check=True).stdout)


@pytest.fixture
def service(redis, shared_postgres):
    database = f"payment_{uuid.uuid4().hex}"
    shared_postgres.create(database)
    with PaymentService(redis, shared_postgres, database) as service:
        yield service


def test_no_statement_scans_a_growing_table(service):
    service.sql(ROWS)
    for statement in statements():
        count = max((n for n in range(1, 20) if f"${n}" in statement["text"]), default=0)
        values = ", ".join(["null"] * count)
        # The plan for values that are not known, which is what a prepared statement ends up with.
        plan = service.sql(f"""set plan_cache_mode = force_generic_plan;
            prepare asked as {statement['text']};
            explain (costs off) execute asked{f'({values})' if count else ''}""")
        text = "\n".join(row[0] for row in plan)
        assert "Seq Scan" not in text, f"{statement['name']}\n{text}"
        # A scan of another index can read the whole table as well.
        assert re.search(INDEXES[statement["name"]], text), f"{statement['name']}\n{text}"
        # A page comes in the order of its index, however many payments its user has.
        assert "Sort" not in text, f"{statement['name']}\n{text}"


def test_the_statements_are_those_of_the_service_and_none_reads_the_provider_s_books():
    assert [row["name"] for row in statements()] == list(INDEXES)
    assert not any("simulated_provider" in row["text"] for row in statements())
