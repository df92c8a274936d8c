-- stock_answers: copies a page of answers into a gate with this nonce, open or not (protocol 1.4, step 7c, and 1.5, step 4).
--
-- args     1 nonce   then orders and buyers as in `settle`
-- answers  1 if copied, 0 if the gate has another nonce or was restarted
-- holds    only a newer v overwrites; live holds stay, and those that have an answer now are remembered in `early`
local meta = call('HMGET', META, 'run_id', 'nonce', 'items', 'orders', 'buyers', 'batches')
if meta[2] ~= ARGV[1] or meta[1] ~= run_id() then return 0 end
if not whole(meta[3], meta[4], meta[5], meta[6]) then return 0 end
local early = {}
local orders_more = copy(2, function(id, at)
  if hold_of(is[at], id) then early[#early + 1] = id end
end)
call('HSET', META, 'orders', meta[4] + orders_more, 'buyers', meta[5] + write())
each('SADD', EARLY, early)
return 1
