-- What a page of answers and a sync have in common: orders and buyers' units are copied from the ledger, newer over older.
--
-- args     a count, so many ids and so many answers "v state hash"   a count, so many buyers and so many "item units v"

-- Records that are known: whose, as they were, and as they will be. Nothing is written before everything is decided.
local buyers, places, was, heads, holds = {}, {}, {}, {}, {}

-- Reads the records of buyers that are not read yet.
local function meet(list)
  local before, new, n = #buyers, {}, 0
  for i = 1, #list do
    local buyer = list[i]
    if not places[buyer] then
      n = n + 1
      new[n], buyers[before + n], places[buyer] = buyer, buyer, before + n
    end
  end
  for k, record in ipairs(read(BUYER, new)) do
    was[before + k] = record
    heads[before + k], holds[before + k] = split(record)
  end
end
local function buyers_of(ids, from, to)
  local list = {}
  for i = from, to do list[i - from + 1] = buyer_of(ids[i]) end
  return list
end

local v_of = setmetatable({}, { __index = function(known, word)
  known[word] = tonumber(word)
  return known[word]
end })

local with_decided = remembering(function(head) return '+' .. sub(head, 2) end)
local with_bought = remembering(function(head, told)
  local item, units, v = match(told, '^(%S+) (%d+) (%d+)$')
  local all = units_in(head)
  local has = entry(all, item)
  if has.v > tonumber(v) then return head end
  has.bought, has.v = tonumber(units), tonumber(v)
  return head_with(sub(head, 1, 1), all)
end)

-- Copies orders and what their buyers have; `first` is the place of the first count. Returns by how many orders there are more.
-- Hands each id, with its buyer's place, to `then_do`.
local function copy(first, then_do)
  local count = tonumber(ARGV[first])
  local whose = buyers_of(ARGV, first + 1, first + count)
  meet(whose)
  local set, words, more, latest = {}, 0, 0, {}
  for k, old in ipairs(read(ORDER, ARGV, first + 1, first + count)) do
    local id, answer, at = ARGV[first + k], ARGV[first + count + k], places[whose[k]]
    old = latest[id] or old
    if not old then more = more + 1 end
    if not old or v_of[match(old, '^%d+')] <= v_of[match(answer, '^%d+')] then
      set[words + 1], set[words + 2] = id, answer
      words = words + 2
      latest[id] = answer
    end
    heads[at] = with_decided(heads[at], '')
    then_do(id, at)
  end
  each('HSET', ORDER, set)

  first = first + 2 * count + 1
  count = tonumber(ARGV[first])
  whose = {}
  for k = 1, count do whose[k] = ARGV[first + k] end
  meet(whose)
  for k = 1, count do
    local at = places[whose[k]]
    heads[at] = with_bought(heads[at], ARGV[first + count + k])
  end
  return more
end

-- Writes the records that changed; returns by how many there are more.
local function write_buyers()
  local set, gone, words, more = {}, {}, 0, 0
  for at = 1, #buyers do
    local old, record = was[at], heads[at] .. holds[at]
    if record == '-' then
      if old then gone[#gone + 1] = buyers[at] end
    elseif record ~= old then
      set[words + 1], set[words + 2] = buyers[at], record
      words = words + 2
      if not old then more = more + 1 end
    end
  end
  each('HSET', BUYER, set)
  each('HDEL', BUYER, gone)
  return more - #gone
end
