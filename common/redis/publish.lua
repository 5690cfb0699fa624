-- Publish to a channel: store in its stream (when it has history), advance its
-- offset and PUBLISH, all or nothing.  docs/REDIS.md is the contract.
--
-- KEYS[1] wh:stream:<channel>   KEYS[2] wh:meta:<channel>   KEYS[3] wh:run
-- KEYS[4] wh:idem:<bytes of channel>:<channel>:<idempotency key>   may be left out
-- ARGV[1] wh:ch:<channel>       ARGV[2] body: JSON, other bytes or an envelope of a publication
-- ARGV[3] history size, 0 = live only
-- ARGV[4] history ttl, ms       ARGV[5] meta ttl, ms; 0 = for ever
-- ARGV[6] version, "" or 0 = none                ARGV[7] epoch of the version
-- ARGV[8] how long the idempotency key is known, ms; may be left out, "" or 0 = 5 minutes
--
-- Answers {offset, epoch, 1 published | 0 not: known already, or version too old}.

local stream, meta, run_key, result = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local channel, body = ARGV[1], ARGV[2]
local version, version_epoch = ARGV[6] or '', ARGV[7] or ''

local BODY_MAX = 16777216
local OFFSET_MAX = 9007199254740991 -- 2^53 - 1: past it Lua's numbers skip some
local RESULT_MS = 300000

-- All arguments are checked before anything is written: an error changes nothing.
local numbers = {}
for _, i in ipairs({3, 4, 5, 8}) do
    local text = ARGV[i] or '0'
    if i == 8 and text == '' then
        text = '0'
    end
    if not text:match('^%d+$') or #text > 15 then
        return redis.error_reply('EARGS history size and ttls are numbers of at most 15 digits')
    end
    numbers[i] = tonumber(text)
end
local size, ttl, meta_ttl = numbers[3], numbers[4], numbers[5]
local result_ms = numbers[8] > 0 and numbers[8] or RESULT_MS
if not run_key or not body or not version:match('^%d*$') then
    return redis.error_reply('EARGS 3 or 4 keys, channel and body; the version is a number')
end
if #body > BODY_MAX then
    return redis.error_reply('ELIMIT the body is larger than 16 MiB')
end

-- (1) The same publication again?
if result then
    local known = redis.call('GET', result)
    if known then
        local offset, epoch = known:match('^(%d+):(.*)$')
        return {tonumber(offset), epoch, 0}
    end
end

-- (2) The epoch ends when offsets may have gone back: with the run that made it.
local run = redis.call('GET', run_key)
if not run then
    return redis.error_reply('NORUN ' .. run_key .. ' is missing: load the scripts by the rule')
end
local known = redis.call('HMGET', meta, 'e', 's', 'r', 'v', 've')
local epoch, top = known[1], tonumber(known[2] or 0)
if size > 0 and (not epoch or known[3] ~= run or top >= OFFSET_MAX) then
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

local function renew_meta()
    if meta_ttl > 0 then
        redis.call('PEXPIRE', meta, meta_ttl)
    else
        redis.call('PERSIST', meta)
    end
end

-- (3) Versions are compared as text: they may have 64 bits.
version = version:gsub('^0+', '')
if version ~= '' then
    local old = known[4] or ''
    local is_same = (known[5] or '') == version_epoch
    if is_same and (#version < #old or (#version == #old and version <= old)) then
        renew_meta()
        if size == 0 then
            return {0, '', 0}
        end
        return {top, epoch, 0}
    end
    redis.call('HSET', meta, 'v', version, 've', version_epoch)
end

local offset = 0
if size > 0 then
    -- (4), (5)
    offset = redis.call('HINCRBY', meta, 's', 1)
    renew_meta()
    -- (7), (8)
    local text = string.format('%.0f', offset)
    redis.call('XADD', stream, 'MAXLEN', '=', size, text .. '-0', 'd', body)
    if ttl > 0 then
        redis.call('PEXPIRE', stream, ttl)
    else
        redis.call('PERSIST', stream)
    end
    -- (9)
    redis.call('PUBLISH', channel, '\193\2' .. text .. ':' .. epoch .. ':' .. body)
else
    if version ~= '' then
        renew_meta()
    end
    epoch = ''
    redis.call('PUBLISH', channel, body)
end

-- (10)
if result then
    redis.call('SET', result, string.format('%.0f:%s', offset, epoch), 'PX', result_ms)
end
return {offset, epoch, 1}
