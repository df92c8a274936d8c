-- stock_reserve: holds units, or refuses, for each request of a batch in its order (protocol 1.4, step 1).
--
-- args     1 time or ''   2 number of shapes   then the shapes: "P item=units,.." or "O .." for an offer
--          then for each request: id, hash, number of its shape
-- answers  {} if the gate is not loaded, else { epoch, deadline, answer .. }; an answer is the number of a new hold, or
--          "held no deadline", "done state", "key_reused", "paused", "not_open opens", "closed", "unknown_item line",
--          "buyer_limit line have limit by", "waitlist line after", "sold_out line after", "all_held line after"
-- holds    each hash is read once and written once, whatever the batch; a refusal leaves no trace;
--          numbers are given in order of the batch, so deadlines are in order of number
local meta = call('HMGET', META, 'run_id', 'open', 'epoch', 'next', 'holds', 'state', 'opens', 'closes', 'hold_ms',
  'items', 'orders', 'buyers', 'batches')
if meta[2] ~= '1' or meta[1] ~= run_id() then return {} end
if not whole(meta[10], meta[11], meta[12], meta[13]) then return {} end

local now = time(ARGV[1])
local deadline = text(now + meta[9])
local door = false
if meta[6] ~= 'open' then
  door = meta[6]
elseif now < tonumber(meta[7]) then
  door = 'not_open ' .. meta[7]
elseif now >= tonumber(meta[8]) then
  door = 'closed'
end

-- The shapes, and the levels of the items that they name.
local shapes, names, index = {}, {}, {}
local count = tonumber(ARGV[2])
for s = 1, count do
  local arg = ARGV[2 + s]
  local shape = { lines = string.sub(arg, 3), offer = string.byte(arg) == 79 }
  for item, units in string.gmatch(shape.lines, '([^=,]+)=(%d+)') do
    local at = index[item]
    if not at then
      at = #names + 1
      names[at], index[item] = item, at
    end
    shape[#shape + 1] = { at = at, item = '|' .. item, units = tonumber(units), new = '0 0 ' .. units }
  end
  shapes[tostring(s)] = shape
end
local free, held, limit, waiting, changed = {}, {}, {}, {}, {}
for at, value in ipairs(read(ITEM, names)) do
  if value then
    local f, h, l, w = string.match(value, '^(%d+) (%d+) (%d+) (%d)$')
    free[at], held[at], limit[at], waiting[at] = tonumber(f), tonumber(h), tonumber(l), w == '1'
  end
end

-- What is known of the ids, and of the buyers of those that are new.
local first, ids = 3 + count, {}
for i = first, #ARGV, 3 do ids[#ids + 1] = ARGV[i] end
local known = read(ORDER, ids)
local fields = {}
for k, id in ipairs(ids) do
  if not known[k] then
    local buyer = string.sub(id, 1, string.find(id, '~', 1, true) - 1)
    for _, line in ipairs(shapes[ARGV[first + 3 * k - 1]]) do fields[#fields + 1] = buyer .. line.item end
  end
end
local values, place = read(BUYER, fields), 0

local start = tonumber(meta[4])
local next, strangers = start, 0
local orders, buyers, taken = {}, {}, {}
local own, granted = {}, {}
local answers = { meta[3], deadline }

local function decide(k, id, hash, shape)
  local value = known[k]
  local from = place
  if not value then place = place + #shape end
  value = value or granted[id]
  if value then
    local done, hold = parts(value)
    if done then
      local state, was = string.match(done, '^D %d+ (%a+) (%d+)')
      if was ~= hash and was ~= '0' then return 'key_reused' end
      return 'done ' .. state
    end
    local no, till, was = string.match(hold, '^H (%d+) (%d+) (%d+)')
    if was ~= hash and was ~= '0' then return 'key_reused' end
    return 'held ' .. no .. ' ' .. till
  end
  if door then return door end
  -- Everything is tested before anything is taken; of several reasons the first in order of precedence is told.
  local rank, line_no, have, by = 6, 0, 0, ''
  for n = 1, #shape do
    local line = shape[n]
    local at, units = line.at, line.units
    if not free[at] then
      if rank > 1 then rank, line_no = 1, n end
    else
      local value = own[fields[from + n]] or values[from + n]
      if value then
        local bought, mine = string.match(value, '^(%d+) %d+ (%d+)$')
        bought, mine = tonumber(bought), tonumber(mine)
        if rank > 2 and bought + mine + units > limit[at] then
          rank, line_no, have = 2, n, bought + mine
          by = bought + units > limit[at] and 'bought' or 'held'
        end
      elseif rank > 2 and units > limit[at] then
        rank, line_no, have, by = 2, n, 0, 'bought'
      end
      if rank > 3 and waiting[at] and not shape.offer then rank, line_no = 3, n end
      if rank > 4 and units > free[at] then rank, line_no = 4, n end
      if rank > 5 and held[at] + units > free[at] then rank, line_no = 5, n end
    end
  end
  if rank == 6 then
    for n = 1, #shape do
      local line = shape[n]
      local at, field = line.at, fields[from + n]
      held[at] = held[at] + line.units
      changed[at] = true
      local value = own[field] or values[from + n]
      if value then
        local bought, v, mine = string.match(value, '^(%d+) (%d+) (%d+)$')
        value = bought .. ' ' .. v .. ' ' .. (mine + line.units)
      else
        value = line.new
        strangers = strangers + 1
      end
      own[field] = value
      buyers[#buyers + 1] = field
      buyers[#buyers + 1] = value
    end
    local no = next
    next = no + 1
    value = 'H ' .. no .. ' ' .. deadline .. ' ' .. hash .. ' ' .. shape.lines
    granted[id] = value
    orders[#orders + 1] = id
    orders[#orders + 1] = value
    taken[#taken + 1] = id
    return no
  end
  if rank == 1 then return 'unknown_item ' .. (line_no - 1) end
  if rank == 2 then
    return 'buyer_limit ' .. (line_no - 1) .. ' ' .. have .. ' ' .. limit[shape[line_no].at] .. ' ' .. by
  end
  -- A flood of refusals says the same thing over and over.
  if shape.next ~= next or shape.rank ~= rank then
    local word = rank == 3 and 'waitlist ' or rank == 4 and 'sold_out ' or 'all_held '
    shape.next, shape.rank, shape.told = next, rank, word .. (line_no - 1) .. ' ' .. (next - 1)
  end
  return shape.told
end

for k, id in ipairs(ids) do
  local at = first + 3 * k - 2
  answers[k + 2] = decide(k, id, ARGV[at], shapes[ARGV[at + 1]])
end

if next > start then
  each('HSET', ORDER, orders)
  each('HSET', BUYER, buyers)
  for at in pairs(changed) do
    call('HSET', ITEM, names[at], free[at] .. ' ' .. held[at] .. ' ' .. limit[at] .. ' ' .. (waiting[at] and 1 or 0))
  end
  call('RPUSH', QUEUE, start .. ' ' .. deadline .. ' ' .. table.concat(taken, ' '))
  call('HSET', META, 'next', next, 'holds', meta[5] + next - start, 'orders', meta[11] + next - start,
    'buyers', meta[12] + strangers, 'batches', meta[13] + 1)
end
return answers
