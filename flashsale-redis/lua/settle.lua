-- What a page of answers and a sync have in common: orders and buyers' units are copied from the ledger, newer over older.
--
-- args     a count, so many ids and so many answers "D v state hash"   a count, so many buyer|item and so many "units v"

-- Orders that are known, and their values before and after this call; nothing is written before everything is decided.
local order_ids, order_at, order_was, order_is = {}, {}, {}, {}

-- Reads orders that are not read yet: those of a list from one place to another.
local function know(list, from, to)
  local before, new = #order_ids, {}
  for i = from, to do
    local id = list[i]
    if not order_at[id] then
      local n = #new + 1
      new[n], order_at[id], order_ids[before + n] = id, before + n, id
    end
  end
  for n, value in ipairs(read(ORDER, new)) do
    order_was[before + n] = value
    order_is[before + n] = value
  end
end

local function v_of(done)
  return tonumber(string.match(done, '^D (%d+)'))
end

-- An answer that comes, or the one that is there if that is newer.
local function newer(done, answer)
  if done and v_of(done) > v_of(answer) then return done end
  return answer
end

-- Writes the orders that changed; returns by how many there are more.
local function write_orders()
  local set, gone, words, more = {}, {}, 0, 0
  for at = 1, #order_ids do
    local was, is = order_was[at], order_is[at]
    if is ~= was then
      if is then
        set[words + 1], set[words + 2] = order_ids[at], is
        words = words + 2
        if not was then more = more + 1 end
      else
        gone[#gone + 1] = order_ids[at]
      end
    end
  end
  each('HSET', ORDER, set)
  each('HDEL', ORDER, gone)
  return more - #gone
end

-- Takes "bought v", or "bought v mine", apart. Most buyers of a drop have the same.
local apart = {}
local function units_of(value)
  local units = apart[value]
  if not units then
    local told, v, mine = string.match(value, '^(%d+ (%d+)) ?(%d*)$')
    units = { told = told, v = tonumber(v), mine = tonumber(mine) }
    apart[value] = units
  end
  return units
end

-- Copies what buyers have, newer over older, and takes back what their ended holds had.
-- `first` is the place of the count; `back` is field -> units. Returns by how many buyers there are more.
local function write_buyers(first, back)
  local count = tonumber(ARGV[first])
  local fields, places, told, n = {}, {}, {}, 0
  for i = first + 1, first + count do
    local field, value = ARGV[i], ARGV[i + count]
    local at = places[field]
    if not at then
      n = n + 1
      places[field], fields[n], told[n] = n, field, value
    elseif units_of(told[at]).v <= units_of(value).v then
      told[at] = value
    end
  end
  for field in pairs(back) do
    if not places[field] then
      n = n + 1
      fields[n] = field
    end
  end
  local set, gone, words, more = {}, {}, 0, 0
  for k, was in ipairs(read(BUYER, fields)) do
    local field = fields[k]
    local old = units_of(was or '0 0 0')
    local copied, mine = told[k], old.mine - (back[field] or 0)
    if not copied or old.v > units_of(copied).v then copied = old.told end
    local is = copied .. (mine > 0 and ' ' .. mine or ' 0')
    if is == '0 0 0' then
      if was then gone[#gone + 1] = field end
    elseif is ~= was then
      set[words + 1], set[words + 2] = field, is
      words = words + 2
      if not was then more = more + 1 end
    end
  end
  each('HSET', BUYER, set)
  each('HDEL', BUYER, gone)
  return more - #gone
end
