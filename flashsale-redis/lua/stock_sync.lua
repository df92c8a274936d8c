-- stock_sync: copies the ledger's state at a version, if the gate is open, has the nonce and stands where it should
-- (protocol 1.4, step 7c). It is confirm, release, restore, adjust and repair in one, because it copies instead of adding.
--
-- args     1 nonce or ''   2 from v   3 from tag   4 to v   5 to tag   6 sealed   7 state   8 opens   9 closes   10 hold_ms
--          then a count and so many (item, free, limit, waiting)   then orders and buyers as in `settle`
-- answers  1 if copied, 0 if nothing changed
-- holds    the holds of the listed orders end, those of answers at or before `to v`, and every hold up to `sealed`;
--          a hold that ends leaves `held` and its buyer's `mine`, once
local meta = call('HMGET', META, 'run_id', 'open', 'nonce', 'v', 'tag', 'sealed', 'holds', 'items', 'orders', 'buyers',
  'batches')
if meta[2] ~= '1' or meta[4] ~= ARGV[2] or meta[5] ~= ARGV[3] then return 0 end
if ARGV[1] ~= '' and ARGV[1] ~= meta[3] then return 0 end
if meta[1] ~= run_id() or not whole(meta[8], meta[9], meta[10], meta[11]) then return 0 end

local level_count = tonumber(ARGV[11])
local to, sealed = tonumber(ARGV[4]), tonumber(ARGV[6])

-- Ends the hold of an id, if there is one. Counts the units that come back, by lines.
local ended, back = 0, {}
local head_ended = remembering(function(head, lines) return head_after(head, lines, -1) end)
local function drop(id, at)
  local record = is[at]
  local from, last = find(record, ';' .. id .. ' ', 1, true)
  if not from then return end
  local lines, next = match(record, '^%S+', last + 1), find(record, ';', last + 1, true)
  is[at] = sub(record, 1, from - 1) .. (next and sub(record, next) or '')
  change_head(at, head_ended, lines)
  back[lines] = (back[lines] or 0) + 1
  ended = ended + 1
end
local orders_more = copy(12 + 4 * level_count, drop)

-- Answers that a page wrote early: those of versions up to this one are known to `free` now.
local early, settled = call('SMEMBERS', EARLY), {}
meet(buyers_of(early, 1, #early), 1, #early)
for k, answer in ipairs(read(ORDER, early)) do
  local id = early[k]
  local at = places[buyer_of(id)]
  local held = hold_of(is[at], id)
  if held and answer and tonumber(match(answer, '^%d+')) <= to then
    drop(id, at)
    held = false
  end
  if not held then settled[#settled + 1] = id end
end

-- Holds up to the seal. A batch that is sealed whole leaves the queue.
local gone, place = 0, 0
while true do
  local batch = call('LINDEX', QUEUE, place)
  local first = batch and tonumber(match(batch, '^%d+'))
  if not first or first > sealed then break end
  local ids = {}
  for id in string.gmatch(match(batch, '^%d+ %d+ (.+)$'), '%S+') do ids[#ids + 1] = id end
  local whose = buyers_of(ids, 1, #ids)
  meet(whose, 1, #whose)
  for k, id in ipairs(ids) do
    local no, at = first + k - 1, places[whose[k]]
    local _, _, held = hold_of(is[at], id)
    if no <= sealed and held and tonumber(held) == no then drop(id, at) end
  end
  if first + #ids - 1 <= sealed then gone = gone + 1 end
  place = place + 1
end

-- The levels: `free`, limit and waiting as told, `held` less what ended.
local shelf = {}
for lines, times in pairs(back) do
  for item, units in string.gmatch(lines, '([^=,]+)=(%d+)') do shelf[item] = (shelf[item] or 0) + times * units end
end
local names, told = {}, {}
for i = 12, 11 + 4 * level_count, 4 do
  names[#names + 1] = ARGV[i]
  told[ARGV[i]] = { ARGV[i + 1], ARGV[i + 2], ARGV[i + 3] }
end
for item in pairs(shelf) do
  if not told[item] then names[#names + 1] = item end
end
local items, count = {}, tonumber(meta[8])
for k, value in ipairs(read(ITEM, names)) do
  local name = names[k]
  local free, held, limit, waiting = match(value or '', '^(%d+) (%d+) (%d+) (%d)$')
  local new = told[name]
  if new then
    if not value then count = count + 1 end
    free, limit, waiting = new[1], new[2], new[3]
  end
  if free then
    items[#items + 1] = name
    items[#items + 1] = free .. ' ' .. math.max(0, (held or 0) - (shelf[name] or 0)) .. ' ' .. limit .. ' ' .. waiting
  end
end

local buyers_more = write()
each('HSET', ITEM, items)
each('SREM', EARLY, settled)
if gone > 0 then call('LTRIM', QUEUE, gone, -1) end
call('HSET', META, 'v', ARGV[4], 'tag', ARGV[5], 'sealed', math.max(sealed, tonumber(meta[6])), 'holds', meta[7] - ended,
  'items', count, 'orders', meta[9] + orders_more, 'buyers', meta[10] + buyers_more, 'batches', meta[11] - gone,
  'state', ARGV[7], 'opens', ARGV[8], 'closes', ARGV[9], 'hold_ms', ARGV[10])
return 1
