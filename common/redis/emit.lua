-- Append a domain event to its stream, once.  docs/REDIS.md is the contract.
--
-- KEYS[1] wh:events:<first segment of the type>   KEYS[2] wh:event:<event id>
-- ARGV[1] the event, a CloudEvent in JSON         ARGV[2] events that the stream keeps, about
-- ARGV[3] how long the event is known, ms
--
-- Answers the entry's id, and 1 appended | 0 known already.

local stream, known_key = KEYS[1], KEYS[2]
local event, size, known_ms = ARGV[1], ARGV[2] or '', ARGV[3] or ''

local EVENT_MAX = 16777216

for _, text in ipairs({size, known_ms}) do
    if not text:match('^%d+$') or #text > 15 or tonumber(text) == 0 then
        return redis.error_reply('EARGS size and time are numbers from 1, of at most 15 digits')
    end
end
if not known_key or not event then
    return redis.error_reply('EARGS 2 keys and the event')
end
if #event > EVENT_MAX then
    return redis.error_reply('ELIMIT the event is larger than 16 MiB')
end

local known = redis.call('GET', known_key)
if known then
    return {known, 0}
end
-- Trimmed by whole nodes of the stream: exact trimming costs more than the memory is worth.
local id = redis.call('XADD', stream, 'MAXLEN', '~', size, '*', 'event', event)
redis.call('SET', known_key, id, 'PX', known_ms)
return {id, 1}
