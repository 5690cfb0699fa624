-- Take a client out of a channel's presence.
--
-- KEYS as for presence_add.lua   ARGV[1] client id
--
-- Answers 1, or 0 when it was not there.

local infos, ends, users = KEYS[1], KEYS[2], KEYS[3]
local client = ARGV[1]

local old = redis.call('HGET', infos, client)
redis.call('ZREM', ends, client)
if not old then
    return 0
end
redis.call('HDEL', infos, client)
local len, rest = old:match('^(%d+):(.*)$')
local user = rest:sub(1, tonumber(len))
if redis.call('HINCRBY', users, user, -1) < 1 then
    redis.call('HDEL', users, user)
end
return 1
