-- Read a channel's position and publications as one atomic answer; make the
-- epoch when there is none, and renew the life of the position.
--
-- KEYS[1] wh:stream:<channel>   KEYS[2] wh:meta:<channel>   KEYS[3] wh:run
-- ARGV[1] limit, 0 = only the position
-- ARGV[2] since: an offset, "" = from the end where reading starts
-- ARGV[3] 1 = newest first, below since; else oldest first, above since
-- ARGV[4] meta ttl, ms; 0 = for ever
--
-- Answers {top offset, epoch, {{"<offset>-0", {"d", body}}, …}}.

local stream, meta, run_key = KEYS[1], KEYS[2], KEYS[3]
local limit, since = ARGV[1] or '0', ARGV[2] or ''
local is_reverse, meta_ttl = ARGV[3] == '1', ARGV[4] or '0'

local OFFSET_MAX = 9007199254740991
local CHUNK = 100
local REPLY_MAX = 33554432 -- a reader takes 64 MiB; a body has at most 16

if not run_key or not limit:match('^%d+$') or not since:match('^%d*$') or
    not meta_ttl:match('^%d+$') or #meta_ttl > 15 then
    return redis.error_reply('EARGS 3 keys; limit, since and meta ttl are numbers')
end
limit = tonumber(limit)

local run = redis.call('GET', run_key)
if not run then
    return redis.error_reply('NORUN ' .. run_key .. ' is missing: load the scripts by the rule')
end
local known = redis.call('HMGET', meta, 'e', 's', 'r')
local epoch, top = known[1], tonumber(known[2] or 0)
if not epoch or known[3] ~= run or top >= OFFSET_MAX then
    local now = redis.call('TIME')
    local hash = redis.sha1hex(run .. now[1] .. ' ' .. now[2] .. (epoch or '') .. meta)
    epoch = hash:sub(1, 16):gsub('..', function(pair)
        local n = tonumber(pair, 16) % 52
        return string.char(n < 26 and 65 + n or 71 + n)
    end)
    top = 0
    redis.call('DEL', stream)
    redis.call('HSET', meta, 'e', epoch, 's', 0, 'r', run)
end
if tonumber(meta_ttl) > 0 then
    redis.call('PEXPIRE', meta, meta_ttl)
else
    redis.call('PERSIST', meta)
end

-- Past the top there is nothing, and no id of a stream has more than 64 bits.
local from = is_reverse and '+' or '-'
if since ~= '' then
    local number = tonumber(since)
    if number > top and not is_reverse or number == 0 and is_reverse then
        return {top, epoch, {}}
    elseif number <= top then
        from = '(' .. since .. '-0'
    end
end

-- In chunks, so that neither limit nor bodies make a reply too large to be read.
local entries, bytes = {}, 0
while #entries < limit and bytes < REPLY_MAX do
    local count = math.min(CHUNK, limit - #entries)
    local chunk
    if is_reverse then
        chunk = redis.call('XREVRANGE', stream, from, '-', 'COUNT', count)
    else
        chunk = redis.call('XRANGE', stream, from, '+', 'COUNT', count)
    end
    for i = 1, #chunk do
        bytes = bytes + #chunk[i][2][2] + 64
        if bytes > REPLY_MAX and #entries > 0 then
            return {top, epoch, entries}
        end
        entries[#entries + 1] = chunk[i]
    end
    if #chunk < count then
        break
    end
    from = '(' .. chunk[#chunk][1]
end
return {top, epoch, entries}
