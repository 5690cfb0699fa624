-- A payment: what has happened (state) and what is to be done next (wish); payment.h has the rules.
create type payment_state as enum (
    'requested', 'authorized', 'declined', 'captured', 'voided', 'refunded');
create type payment_wish as enum ('nothing', 'authorize', 'capture', 'void', 'refund');

create table payment (
    id uuid primary key,                     -- given by the order service
    order_id uuid not null unique,           -- at most one payment an order
    user_id text not null,
    -- Unknown of a payment that was voided before it was requested.
    amount_minor bigint check (amount_minor >= 0),
    currency text check (currency ~ '^[A-Z]{3}$'),
    card text not null default '',           -- kept only until it is authorized
    card_last4 text not null default '',
    state payment_state not null,
    wish payment_wish not null,
    reason text not null default '',         -- why it was declined
    reference text not null default '',      -- the provider's name of it
    attempts integer not null default 0,     -- of the present wish
    due_at timestamptz not null default now(),
    lease_until timestamptz,                 -- somebody is at it until then
    traceparent text not null default '',
    version bigint not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    check ((amount_minor is null) = (currency is null)),
    check (amount_minor is not null or state = 'voided')
);
-- What a user sees, newest first.
create index payment_of_user on payment (user_id, id desc);
-- What the job looks for: few rows, whatever the size of the table.
create index payment_due on payment (due_at) where wish <> 'nothing';

-- The books of the simulated provider: another company's, in a schema of its own.
create schema simulated_provider;
create table simulated_provider.operation (
    payment uuid not null,
    operation text not null,
    result text not null,                -- done | refused
    reason text not null default '',
    amount_minor bigint not null,
    currency char(3) not null,
    reference text not null,
    at timestamptz not null default now(),
    primary key (payment, operation)
);
-- First tries that went wrong on purpose.
create table simulated_provider.mishap (
    payment uuid not null,
    operation text not null,
    primary key (payment, operation)
);

-- One operation, once: the same payment and operation answer the same for ever.
create function simulated_provider.perform(
    p uuid, op text, minor bigint, cur text, card text,
    out result text, out reason text, out reference text)
language plpgsql set search_path = simulated_provider as $$
begin
    perform pg_advisory_xact_lock(hashtextextended(p::text, 0));
    select o.result, o.reason, o.reference into result, reason, reference
        from operation o where o.payment = p and o.operation = op;
    if found then
        return;
    end if;
    reason := case op
        when 'authorize' then case
            when exists (select from operation o where o.payment = p and o.operation = 'void')
                then 'voided'
            when card = '4000000000000002' then 'card_declined'
            when card = '4000000000009995' then 'insufficient_funds'
            when card !~ '^4[0-9]{15}$' then 'unknown_card'
            else '' end
        when 'capture' then case
            when exists (select from operation o where o.payment = p and o.operation = 'void'
                         and o.result = 'done') then 'voided'
            when not exists (select from operation o where o.payment = p
                             and o.operation = 'authorize' and o.result = 'done')
                then 'not_authorized'
            else '' end
        when 'void' then case
            when exists (select from operation o where o.payment = p and o.operation = 'capture'
                         and o.result = 'done') then 'captured'
            else '' end
        when 'refund' then case
            when not exists (select from operation o where o.payment = p
                             and o.operation = 'capture' and o.result = 'done')
                then 'not_captured'
            else '' end
        end;
    result := case reason when '' then 'done' else 'refused' end;
    reference := 'sim_' || substr(md5(p::text || op), 1, 16);
    insert into operation (payment, operation, result, reason, amount_minor, currency, reference)
        values (p, op, result, reason, minor, cur, reference);
end $$;
