-- stock_due: tells where the gate stands and which holds may lapse (protocol 1.4, step 7a).
--
-- args     1 time or ''   2 the most ids that are looked at
-- answers  {} if the gate is not open, else { nonce, v, tag, lapsed }
-- holds    lapsed is the largest number such that all live holds up to it are past their deadline, as far as was looked;
--          batches at the head whose holds have all ended leave the queue
local meta = call('HMGET', META, 'run_id', 'open', 'nonce', 'v', 'tag', 'items', 'orders', 'buyers', 'batches')
if meta[2] ~= '1' or meta[1] ~= run_id() then return {} end
if not whole(meta[6], meta[7], meta[8], meta[9]) then return {} end

local now, most = time(ARGV[1]), tonumber(ARGV[2])
local lapsed, seen, dead, at, live = 0, 0, 0, 0, false
while seen < most do
  local batch = call('LINDEX', QUEUE, at)
  if not batch then break end
  local first, deadline, names = match(batch, '^(%d+) (%d+) (.+)$')
  local ids, buyers = {}, {}
  for id in string.gmatch(names, '%S+') do
    ids[#ids + 1] = id
    buyers[#buyers + 1] = buyer_of(id)
  end
  local last = false
  for k, record in ipairs(read(BUYER, buyers)) do
    local no = first + k - 1
    local _, _, is = hold_of(record or '', ids[k])
    if is and tonumber(is) == no then last = no end
  end
  seen = seen + #ids
  if last then
    live = true
    if tonumber(deadline) > now then break end
    lapsed = last
  elseif not live then
    dead = dead + 1
  end
  at = at + 1
end
if dead > 0 then
  call('LTRIM', QUEUE, dead, -1)
  call('HSET', META, 'batches', meta[9] - dead)
end
return { meta[3], meta[4], meta[5], lapsed }
