-- Enter a client into a channel's presence, or renew it.
--
-- KEYS[1] wh:presence.info:<channel>    hash, client id -> "<bytes of user>:<user><info>"
-- KEYS[2] wh:presence.expire:<channel>  sorted set, client id scored by its end, ms since 1970
-- KEYS[3] wh:presence.users:<channel>   hash, user id -> how many of the clients are hers
-- ARGV[1] client id   ARGV[2] user id   ARGV[3] info   ARGV[4] ttl, ms
--
-- Answers 1 for a new entry, 0 for a renewed one.

local infos, ends, users = KEYS[1], KEYS[2], KEYS[3]
local client, user, ttl = ARGV[1], ARGV[2], tonumber(ARGV[4])
local value = #user .. ':' .. user .. ARGV[3]

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local old = redis.call('HGET', infos, client)
if old ~= value then
    redis.call('HSET', infos, client, value)
    local len, rest = (old or ''):match('^(%d+):(.*)$')
    local old_user = len and rest:sub(1, tonumber(len))
    if old_user ~= user then
        redis.call('HINCRBY', users, user, 1)
        if old_user and redis.call('HINCRBY', users, old_user, -1) < 1 then
            redis.call('HDEL', users, old_user)
        end
    end
end
redis.call('ZADD', ends, string.format('%.0f', now + ttl), client)

-- The keys end with their last entry, also when nobody reads them any more.
if redis.call('PTTL', ends) < ttl then
    for _, key in ipairs(KEYS) do
        redis.call('PEXPIRE', key, ttl)
    end
end
return old and 0 or 1
