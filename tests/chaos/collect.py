"""What the judge reads: the tables of three databases, and the provider's books."""

import json

from chaos.checker import Facts

QUERIES = {
    "orders": ("order", """
        select o.id, o.user_id as user, o.payment_id as payment, o.state, o.reason, s.step,
               o.total_minor as minor, o.currency
        from orders o left join saga s on s.order_id = o.id"""),
    "lines": ("order", "select order_id as order, product_id as product, quantity from order_line"),
    "summaries": ("order", "select order_id as order, state from order_summary"),
    "products": ("order", "select id, stock from product"),
    "payments": ("payment", """
        select id, order_id as order, user_id as user, state, wish, amount_minor as minor, currency
        from payment"""),
    "operations": ("payment", """
        select payment, operation, result, amount_minor as minor, currency
        from simulated_provider.operation"""),
    "accounts": ("user", "select id from account"),
}
OUTBOX = """
    select id, event_id as event, aggregate, sent_at is not null as is_sent,
           array(select c ->> 'name' from json_array_elements(channels) c) as channels
    from outbox order by id"""
DATABASES = ("user", "order", "payment")


def rows(postgres, database, query):
    text = postgres.value(f"select coalesce(json_agg(row_to_json(r)), '[]') from ({query}) r",
                          f"wirehub_{database}")
    return json.loads(text)


def collect(postgres, customers, initial_stock, history_size):
    tables = {name: rows(postgres, *where) for name, where in QUERIES.items()}
    tables["accounts"] = [row["id"] for row in tables["accounts"]]
    return Facts(**tables, initial_stock=initial_stock, history_size=history_size,
                 outboxes={name: rows(postgres, name, OUTBOX) for name in DATABASES},
                 customers=customers)
