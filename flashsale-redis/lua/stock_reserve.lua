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
  local lines = string.sub(arg, 3)
  local shape = { offer = string.byte(arg) == 79, head = 'H ' .. lines .. ' ' }
  for name, units in string.gmatch(lines, '([^=,]+)=(%d+)') do
    if not items[name] then
      names[#names + 1] = name
      items[name] = {}
    end
    shape[#shape + 1] = { item = items[name], field = '|' .. name, units = tonumber(units), new = '0 0 ' .. units }
  end
  shapes[s] = shape
end
for at, value in ipairs(read(ITEM, names)) do
  if value then
    local free, held, limit, waiting = string.match(value, '^(%d+) (%d+) (%d+) (%d)$')
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
    shape.plain = only
  end
end

-- The requests: the k-th has the id ARGV[ids + k] and the hash ARGV[ids + n + k].
local ids = 2 + count
local n = (#ARGV - ids) / (count > 1 and 3 or 2)
local function shape_of(k)
  return shapes[count == 1 and 1 or tonumber(ARGV[ids + 2 * n + k])]
end

-- What is known of the ids, and of the buyers of those that are new.
local known = read(ORDER, ARGV, ids + 1, ids + n)
local buyers, fields, places = {}, {}, 0
local find, sub = string.find, string.sub
for k = 1, n do
  if not known[k] then
    local id, shape = ARGV[ids + k], shape_of(k)
    local buyer = sub(id, 1, find(id, '~', 1, true) - 1)
    buyers[k] = buyer
    for l = 1, #shape do
      places = places + 1
      fields[places] = buyer .. shape[l].field
    end
  end
end
local values, place = read(BUYER, fields), 0

local start = tonumber(meta[4])
local next, strangers = start, 0
-- What is written: id, value, .. and field, value, ..; and the buyers of it.
local orders, units_of, written, busy = {}, {}, 0, {}

-- The last two digits of a number: to turn each number into text would cost more than all else that is done with it.
local LOW = { [0] = '00',
  '01', '02', '03', '04', '05', '06', '07', '08', '09', '10', '11', '12', '13', '14', '15', '16', '17', '18', '19', '20',
  '21', '22', '23', '24', '25', '26', '27', '28', '29', '30', '31', '32', '33', '34', '35', '36', '37', '38', '39', '40',
  '41', '42', '43', '44', '45', '46', '47', '48', '49', '50', '51', '52', '53', '54', '55', '56', '57', '58', '59', '60',
  '61', '62', '63', '64', '65', '66', '67', '68', '69', '70', '71', '72', '73', '74', '75', '76', '77', '78', '79', '80',
  '81', '82', '83', '84', '85', '86', '87', '88', '89', '90', '91', '92', '93', '94', '95', '96', '97', '98', '99',
}
local hundreds
local till = ' ' .. deadline .. ' '
local function hold(id, buyer, hash, shape)
  local low = next % 100
  if low == 0 or not hundreds then hundreds = text((next - low) / 100) end
  local at = 2 * (next - start)
  orders[at + 1] = id
  orders[at + 2] = shape.head .. hundreds .. LOW[low] .. till .. hash
  next = next + 1
  busy[buyer] = true
end
local function take(field, value)
  units_of[written + 1] = field
  units_of[written + 2] = value
  written = written + 2
end

-- What earlier requests of this batch left, which only the second of a buyer needs to know.
local granted, own, granted_to, own_to = {}, {}, 0, 0
local function catch_up()
  for at = granted_to + 1, #orders, 2 do granted[orders[at]] = orders[at + 1] end
  for at = own_to + 1, written, 2 do own[units_of[at]] = units_of[at + 1] end
  granted_to, own_to = #orders, written
end

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
  local value = known[k]
  local from = place
  if not value then place = place + #shape end
  catch_up()
  value = value or granted[id]
  if value then
    local done, hold = parts(value)
    if done then
      local state, was = string.match(done, '^D %d+ (%a+) (%d+)')
      if was ~= hash and was ~= '0' then return 'key_reused' end
      return 'done ' .. state
    end
    local no, till, was = string.match(hold, '^H %S+ (%d+) (%d+) (%d+)')
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
      local value = own[fields[from + l]] or values[from + l]
      if value then
        local bought, mine = string.match(value, '^(%d+) %d+ (%d+)$')
        bought, mine = tonumber(bought), tonumber(mine)
        if rank > 2 and bought + mine + units > item.limit then
          rank, line_no, have = 2, l, bought + mine
          by = bought + units > item.limit and 'bought' or 'held'
        end
      elseif rank > 2 and units > item.limit then
        rank, line_no, have, by = 2, l, 0, 'bought'
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
  for l = 1, #shape do
    local line, field = shape[l], fields[from + l]
    line.item.held = line.item.held + line.units
    local value = own[field] or values[from + l]
    if value then
      local bought, v, mine = string.match(value, '^(%d+) (%d+) (%d+)$')
      value = bought .. ' ' .. v .. ' ' .. (mine + line.units)
    else
      value = line.new
      strangers = strangers + 1
    end
    take(field, value)
    own[field] = value
  end
  hold(id, buyers[k], hash, shape)
end

local answers, told, last = { meta[3], deadline }, 2, nil
for k = 1, n do
  local id, hash, shape = ARGV[ids + k], ARGV[ids + n + k], shape_of(k)
  local plain, answer = shape.plain, nil
  local buyer = buyers[k]
  if plain and buyer and not values[place + 1] and not busy[buyer] then
    -- As `decide` would, for what nearly every request of a drop is: one line, a new id, a buyer who has nothing.
    place = place + 1
    local item, units = plain.item, plain.units
    if item.held + units <= item.free then
      item.held = item.held + units
      strangers = strangers + 1
      take(fields[place], plain.new)
      hold(id, buyer, hash, shape)
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
  each('HSET', ORDER, orders)
  each('HSET', BUYER, units_of)
  for _, name in ipairs(names) do
    local item = items[name]
    if item.free then
      call('HSET', ITEM, name, item.free .. ' ' .. item.held .. ' ' .. item.limit .. ' ' .. (item.waiting and 1 or 0))
    end
  end
  local taken = {}
  for at = 1, 2 * (next - start), 2 do taken[#taken + 1] = orders[at] end
  call('RPUSH', QUEUE, start .. ' ' .. deadline .. ' ' .. table.concat(taken, ' '))
  call('HSET', META, 'next', next, 'holds', meta[5] + next - start, 'orders', meta[11] + next - start,
    'buyers', meta[12] + strangers, 'batches', meta[13] + 1)
end
return answers
