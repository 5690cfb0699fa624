-- What statements are to fail with, and how often; sequences do not roll back.
create function fail_first(seq regclass, times bigint, code text) returns void
language plpgsql as $$
begin
    if nextval(seq) <= times then
        raise exception 'asked to fail' using errcode = code;
    end if;
end
$$;
