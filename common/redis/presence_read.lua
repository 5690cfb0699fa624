-- Who is present in a channel, or only how many.
--
-- KEYS as for presence_add.lua   ARGV[1] "members" or "stats"
--
-- Answers {clients, distinct users, {info, …}}; the infos, without their "<bytes>:<user>", only
-- for members.

local infos, ends, users = KEYS[1], KEYS[2], KEYS[3]
local CHUNK = 1000 -- what unpack may put on Lua's stack

local function split(value)
    local len, rest = value:match('^(%d+):(.*)$')
    return rest:sub(1, tonumber(len)), rest:sub(tonumber(len) + 1)
end

-- Entries past their end were left by a node that died: they go first, each once.
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
while true do
    local dead = redis.call('ZRANGEBYSCORE', ends, '-inf', now, 'LIMIT', 0, CHUNK)
    if #dead == 0 then
        break
    end
    local gone = {}
    for _, value in ipairs(redis.call('HMGET', infos, unpack(dead))) do
        if value then
            local user = split(value)
            gone[user] = (gone[user] or 0) + 1
        end
    end
    for user, count in pairs(gone) do
        if redis.call('HINCRBY', users, user, -count) < 1 then
            redis.call('HDEL', users, user)
        end
    end
    redis.call('HDEL', infos, unpack(dead))
    redis.call('ZREM', ends, unpack(dead))
end

local members = {}
if ARGV[1] == 'members' then
    for i, value in ipairs(redis.call('HVALS', infos)) do
        local _, info = split(value)
        members[i] = info
    end
end
return {redis.call('HLEN', infos), redis.call('HLEN', users), members}
