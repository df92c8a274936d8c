-- stock_load: opens a gate that still has this nonce and is not open; the next number is 1 (protocol 1.5, step 5).
--
-- args     1 nonce   2 epoch   3 v   4 tag   5 state   6 opens   7 closes   8 hold_ms   then a count and so many (item, free, limit, waiting)
-- answers  1 if opened, else 0
local meta = call('HMGET', META, 'run_id', 'nonce', 'open', 'items', 'orders', 'buyers', 'batches')
if meta[2] ~= ARGV[1] or meta[3] ~= '0' or meta[1] ~= run_id() then return 0 end
if not whole(meta[4], meta[5], meta[6], meta[7]) then return 0 end
local items, count = {}, tonumber(ARGV[9])
for i = 10, 9 + 4 * count, 4 do
  items[#items + 1] = ARGV[i]
  items[#items + 1] = ARGV[i + 1] .. ' 0 ' .. ARGV[i + 2] .. ' ' .. ARGV[i + 3]
end
call('UNLINK', ITEM)
each('HSET', ITEM, items)
call('HSET', META, 'open', 1, 'epoch', ARGV[2], 'v', ARGV[3], 'tag', ARGV[4], 'state', ARGV[5], 'opens', ARGV[6],
  'closes', ARGV[7], 'hold_ms', ARGV[8], 'sealed', 0, 'next', 1, 'holds', 0, 'items', count)
return 1
