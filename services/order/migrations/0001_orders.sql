-- Products with stock, orders with their lines, one saga for each order, and the read model.
--
-- Lock order, for whoever writes more than one of them in a transaction: the row of the order, then
-- products by id.  The rest is written under the lock of its order.

-- Declared in the order in which they are reached: greatest() of two is the later one.
create type order_state as enum ('pending', 'confirmed', 'cancelled');
create type payment_state as enum (
    'requested', 'authorized', 'captured', 'declined', 'voided', 'refunded');
create type saga_step as enum (
    'awaiting_payment', 'awaiting_capture', 'captured', 'awaiting_void', 'awaiting_refund', 'closed');

create table product (
    id uuid primary key,
    sku text not null unique,
    name text not null check (name <> ''),
    price_minor bigint not null check (price_minor > 0),
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    stock integer not null check (stock >= 0),
    version bigint not null default 1
);

-- Ids are UUIDv7: sorted by id is sorted by time.
create table orders (
    id uuid primary key,
    user_id text not null check (user_id <> ''),
    payment_id uuid not null unique,
    state order_state not null default 'pending',
    reason text check ((reason is null) = (state <> 'cancelled')),
    version bigint not null default 1,
    total_minor bigint not null check (total_minor > 0),
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    card_last4 text not null check (card_last4 ~ '^[0-9]{4}$'),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

create table order_line (
    order_id uuid not null references orders,
    line smallint not null,
    product_id uuid not null references product,
    name text not null,
    quantity integer not null check (quantity > 0),
    unit_minor bigint not null check (unit_minor > 0),
    primary key (order_id, line)
);

-- What an order waits for.  The card is kept only while a payment may have to be asked for again.
create table saga (
    order_id uuid primary key references orders,
    step saga_step not null,
    deadline timestamptz,
    attempts integer not null default 1 check (attempts > 0),
    payment_state payment_state not null default 'requested',
    card text,
    check ((deadline is null) = (step in ('captured', 'closed'))),
    check ((card is not null) = (step = 'awaiting_payment'))
);
create index saga_due on saga (deadline) where deadline is not null;

-- The read model: what events say about an order.  No references: it may run behind or ahead.
create table order_summary (
    order_id uuid primary key,
    user_id text not null,
    state order_state not null,
    reason text,
    payment_state payment_state,
    total_minor bigint,
    currency text,
    items integer,
    created_at timestamptz,
    updated_at timestamptz not null
);
create index order_summary_of_user on order_summary (user_id, order_id desc);
create index order_summary_of_user_state on order_summary (user_id, state, order_id desc);
