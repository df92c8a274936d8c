-- What a page of answers and a sync have in common: orders and buyers' units are copied from the ledger, newer over older.
--
-- args     a count, so many ids and so many answers "v state hash"   a count of texts "item units v", and for
--          each the text, a count and so many buyers who have just that

-- Records that are known: whose, as they were, and as they will be; and orders that will be: id, answer, ..
-- Nothing is written before everything is decided.
local buyers, places, was, is, orders = {}, {}, {}, {}, {}

-- Reads the records of buyers that are not read yet: those of a list from one place to another; returns how many.
local function meet(list, from, to)
  local before, new, n = #buyers, {}, 0
  for i = from, to do
    local buyer = list[i]
    if not places[buyer] then
      n = n + 1
      new[n], buyers[before + n], places[buyer] = buyer, buyer, before + n
    end
  end
  for k, record in ipairs(read(BUYER, new)) do
    was[before + k] = record
    is[before + k] = record or '-'
  end
  return n
end
local function buyers_of(ids, from, to)
  local list = {}
  for i = from, to do list[i - from + 1] = buyer_of(ids[i]) end
  return list
end

-- Tells the head of a record anew.
local function change_head(at, tell, word)
  local record = is[at]
  local holds = find(record, ';', 1, true)
  if holds then
    is[at] = tell(sub(record, 1, holds - 1), word) .. sub(record, holds)
  else
    is[at] = tell(record, word)
  end
end

local with_decided = remembering(function(head) return '+' .. sub(head, 2) end)
local with_bought = remembering(function(head, told)
  local item, units, v = match(told, '^(%S+) (%d+) (%d+)$')
  local all = units_in(head)
  local has = entry(all, item)
  if has.v > tonumber(v) then return head end
  has.bought, has.v = tonumber(units), tonumber(v)
  return head_with(sub(head, 1, 1), all)
end)

-- Decides on orders and what their buyers have; `first` is the place of the first count. Returns by how many orders there are more.
-- Hands each id, with its buyer's place, to `then_do`.
local function copy(first, then_do)
  local count = tonumber(ARGV[first])
  local whose = buyers_of(ARGV, first + 1, first + count)
  local apart = meet(whose, 1, count) == count
  -- Only a buyer who has decided orders can have one of these.
  local asked, latest = {}, {}
  for k = 1, count do
    if string.byte(is[places[whose[k]]]) == 43 then asked[#asked + 1] = ARGV[first + k] end
  end
  for k, answer in ipairs(read(ORDER, asked)) do latest[asked[k]] = answer end
  local words, more = 0, 0
  for k = 1, count do
    local id, answer, at = ARGV[first + k], ARGV[first + count + k], places[whose[k]]
    local old = latest[id]
    if not old then more = more + 1 end
    if not old or tonumber(match(old, '^%d+')) <= tonumber(match(answer, '^%d+')) then
      orders[words + 1], orders[words + 2] = id, answer
      words = words + 2
      -- One buyer may have several orders here, or the same one twice.
      if not apart then latest[id] = answer end
    end
    then_do(id, at)
    change_head(at, with_decided, '')
  end

  local at = first + 2 * count + 1
  for _ = 1, tonumber(ARGV[at]) do
    local told, many = ARGV[at + 1], tonumber(ARGV[at + 2])
    meet(ARGV, at + 3, at + 2 + many)
    for i = at + 3, at + 2 + many do
      change_head(places[ARGV[i]], with_bought, told)
    end
    at = at + 2 + many
  end
  return more
end

-- Writes orders, and the records that changed; returns by how many records there are more.
local function write()
  local set, gone, words, more = {}, {}, 0, 0
  for at = 1, #buyers do
    local old, record = was[at], is[at]
    if record == '-' then
      if old then gone[#gone + 1] = buyers[at] end
    elseif record ~= old then
      set[words + 1], set[words + 2] = buyers[at], record
      words = words + 2
      if not old then more = more + 1 end
    end
  end
  each('HSET', ORDER, orders)
  each('HSET', BUYER, set)
  each('HDEL', BUYER, gone)
  return more - #gone
end
