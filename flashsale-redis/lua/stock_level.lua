-- stock_level: shows levels and the gate's time, all of one moment.
--
-- args     1 time or ''
-- answers  { now } if the gate knows nothing, else { now, open, nonce, epoch, v, tag, holds, next, item, value, .. }
--          with v '' before it is loaded
local meta = call('HMGET', META, 'run_id', 'open', 'nonce', 'epoch', 'v', 'tag', 'holds', 'next')
local now = text(time(ARGV[1]))
if not meta[3] or meta[1] ~= run_id() then return { now } end
local level = { now, meta[2], meta[3], meta[4] or '0', meta[5] or '', meta[6] or '', meta[7], meta[8] }
for _, word in ipairs(call('HGETALL', ITEM)) do level[#level + 1] = word end
return level
