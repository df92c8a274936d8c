-- stock_reserve: holds units, or refuses, for each request of a batch in its order (protocol 1.4, step 1).
--
-- args     1 time or ''   2 number of shapes   then the shapes: "P item=units,.." or "O .." for an offer
--          then all ids, all hashes and, if there are several shapes, for each request the number of its shape
-- answers  {} if the gate is not loaded, else { epoch, deadline, then a count and an answer for so many requests .. }; an answer is
--          the number of the first of so many new holds, or
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

-- The shapes, and the levels of the items that they name; an item that is not there has no `free`.
local shapes, names, items = {}, {}, {}
local count = tonumber(ARGV[2])
for s = 1, count do
  local arg = ARGV[2 + s]
  local lines = sub(arg, 3)
  local shape = { offer = string.byte(arg) == 79, lines = lines, middle = ' ' .. lines .. ' ' }
  for name, units in string.gmatch(lines, '([^=,]+)=(%d+)') do
    if not items[name] then
      names[#names + 1] = name
      items[name] = { name = name }
    end
    shape[#shape + 1] = { item = items[name], units = tonumber(units) }
  end
  shapes[s] = shape
end
for at, value in ipairs(read(ITEM, names)) do
  if value then
    local free, held, limit, waiting = match(value, '^(%d+) (%d+) (%d+) (%d)$')
    local item = items[names[at]]
    item.free, item.held, item.limit, item.waiting = tonumber(free), tonumber(held), tonumber(limit), waiting == '1'
  end
end
-- The only line of a shape, if nothing but units can be wanting to a buyer who has none.
for s = 1, count do
  local shape = shapes[s]
  local only = #shape == 1 and shape[1]
  local item = only and only.item
  if item and not door and item.free and only.units <= item.limit and (shape.offer or not item.waiting) then
    shape.plain, shape.head = only, head_after('-', shape.lines, 1)
  end
end

-- The requests: the k-th has the id ARGV[ids + k] and the hash ARGV[ids + n + k].
local ids = 2 + count
local n = (#ARGV - ids) / (count > 1 and 3 or 2)
local function shape_of(k)
  return shapes[count == 1 and 1 or tonumber(ARGV[ids + 2 * n + k])]
end

-- What is known of the buyers, and of the ids of those who have decided orders.
local buyers = {}
for k = 1, n do
  local id = ARGV[ids + k]
  buyers[k] = sub(id, 1, find(id, '~', 1, true) - 1)
end
local records = read(BUYER, buyers)
local asked, decided = {}, {}
for k = 1, n do
  if records[k] and string.byte(records[k]) == 43 then asked[#asked + 1] = ARGV[ids + k] end
end
for at, value in ipairs(read(ORDER, asked)) do decided[asked[at]] = value end

local start = tonumber(meta[4])
local next, strangers = start, 0
-- What is written: buyer, record, ..; whose ids are held; and the buyers for whom something is written.
local kept, taken, busy = {}, {}, {}

local hundreds
local till = ' ' .. deadline .. ' '
-- Keeps a buyer's record with one more hold.
local function hold(buyer, record, id, shape, hash)
  local low, at = next % 100, next - start
  if low == 0 or not hundreds then hundreds = text((next - low) / 100) end
  taken[at + 1] = id
  kept[2 * at + 1] = buyer
  kept[2 * at + 2] = record .. ';' .. id .. shape.middle .. hundreds .. LOW[low] .. till .. hash
  next = next + 1
  busy[buyer] = true
end

-- Records that earlier requests of this batch changed, which only the second of a buyer needs to know.
local own, own_to = {}, 0
local function own_record(k)
  for at = own_to + 1, #kept, 2 do own[kept[at]] = kept[at + 1] end
  own_to = #kept
  return own[buyers[k]] or records[k]
end

local told_of = setmetatable({}, { __index = function(told, head)
  told[head] = units_in(head)
  return told[head]
end })
local head_taken = remembering(function(head, lines) return head_after(head, lines, 1) end)

-- A flood of refusals says the same thing over and over.
local function refused(shape, rank, line)
  if shape.next ~= next or shape.rank ~= rank then
    local word = rank == 3 and 'waitlist ' or rank == 4 and 'sold_out ' or 'all_held '
    shape.next, shape.rank, shape.told = next, rank, word .. (line - 1) .. ' ' .. (next - 1)
  end
  return shape.told
end

-- Words for a request; nil if it is held.
local function decide(k, id, hash, shape)
  if decided[id] then
    local state, was = match(decided[id], '^%d+ (%S+) (%d+)')
    if was ~= hash and was ~= '0' then return 'key_reused' end
    return 'done ' .. state
  end
  local record = own_record(k)
  local head, holds = split(record)
  local at, _, no, till, was = hold_of(holds, id)
  if at then
    if was ~= hash and was ~= '0' then return 'key_reused' end
    return 'held ' .. no .. ' ' .. till
  end
  if door then return door end
  -- Everything is tested before anything is taken; of several reasons the first in order of precedence is told.
  local rank, line_no, have, by = 6, 0, 0, ''
  for l = 1, #shape do
    local item, units = shape[l].item, shape[l].units
    if not item.free then
      if rank > 1 then rank, line_no = 1, l end
    else
      local has = told_of[head][item.name]
      local bought, mine = has and has.bought or 0, has and has.mine or 0
      if rank > 2 and bought + mine + units > item.limit then
        rank, line_no, have = 2, l, bought + mine
        by = bought + units > item.limit and 'bought' or 'held'
      end
      if rank > 3 and item.waiting and not shape.offer then rank, line_no = 3, l end
      if rank > 4 and units > item.free then rank, line_no = 4, l end
      if rank > 5 and item.held + units > item.free then rank, line_no = 5, l end
    end
  end
  if rank == 1 then return 'unknown_item ' .. (line_no - 1) end
  if rank == 2 then
    return 'buyer_limit ' .. (line_no - 1) .. ' ' .. have .. ' ' .. shape[line_no].item.limit .. ' ' .. by
  end
  if rank < 6 then return refused(shape, rank, line_no) end
  for l = 1, #shape do shape[l].item.held = shape[l].item.held + shape[l].units end
  if not record then strangers = strangers + 1 end
  hold(buyers[k], head_taken(head, shape.lines) .. holds, id, shape, hash)
end

local answers, told, last = { meta[3], deadline }, 2, nil
for k = 1, n do
  local id, hash, shape, buyer = ARGV[ids + k], ARGV[ids + n + k], shape_of(k), buyers[k]
  local plain, answer = shape.plain, nil
  if plain and not records[k] and not busy[buyer] then
    -- As `decide` would, for what nearly every request of a drop is: one line, and a buyer of whom nothing is known.
    local item, units = plain.item, plain.units
    if item.held + units <= item.free then
      item.held = item.held + units
      strangers = strangers + 1
      hold(buyer, shape.head, id, shape, hash)
    else
      answer = refused(shape, units > item.free and 4 or 5, 1)
    end
  else
    answer = decide(k, id, hash, shape)
  end
  if told > 2 and answer == last then
    answers[told - 1] = answers[told - 1] + 1
  else
    answers[told + 1], answers[told + 2] = 1, answer or next - 1
    told, last = told + 2, answer
  end
end

if next > start then
  each('HSET', BUYER, kept)
  for _, name in ipairs(names) do
    local item = items[name]
    if item.free then
      call('HSET', ITEM, name, item.free .. ' ' .. item.held .. ' ' .. item.limit .. ' ' .. (item.waiting and 1 or 0))
    end
  end
  call('RPUSH', QUEUE, start .. ' ' .. deadline .. ' ' .. table.concat(taken, ' '))
  call('HSET', META, 'next', next, 'holds', meta[5] + next - start, 'buyers', meta[12] + strangers, 'batches', meta[13] + 1)
end
return answers
