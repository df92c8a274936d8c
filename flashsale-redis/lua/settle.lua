-- What a page of answers and a sync have in common: orders and buyers' units are copied from the ledger, newer over older.

-- Values of orders and buyers as they are after this call; nothing is written before everything is decided.
local order_was, order_is, buyer_was = {}, {}, {}

-- Reads the orders that are not read yet.
local function know(ids)
  local new = {}
  for _, id in ipairs(ids) do
    if order_was[id] == nil then
      order_was[id] = false
      new[#new + 1] = id
    end
  end
  for k, value in ipairs(read(ORDER, new)) do
    order_was[new[k]] = value
    order_is[new[k]] = value
  end
end

-- Writes an answer over an older one; the hold, if there is one, stays. Returns the hold.
local function note(id, hash, state, v)
  local done, hold = parts(order_is[id])
  if not done or tonumber(string.match(done, '^D (%d+)')) <= tonumber(v) then
    done = 'D ' .. v .. ' ' .. state .. ' ' .. hash
  end
  order_is[id] = hold and (done .. '|' .. hold) or done
  return hold
end

-- Writes the orders that changed; returns by how many there are more.
local function write_orders()
  local set, gone, more = {}, {}, 0
  for id, value in pairs(order_is) do
    if value ~= order_was[id] then
      if value then
        set[#set + 1] = id
        set[#set + 1] = value
        if not order_was[id] then more = more + 1 end
      else
        gone[#gone + 1] = id
      end
    end
  end
  each('HSET', ORDER, set)
  each('HDEL', ORDER, gone)
  return more - #gone
end

-- Copies what buyers have, newer over older, and takes back what their ended holds had.
-- `bought` is a list of field, units, v; `back` is field -> units. Returns by how many buyers there are more.
local function write_buyers(bought, back)
  local fields, is = {}, {}
  for i = 1, #bought, 3 do fields[#fields + 1] = bought[i] end
  for field in pairs(back) do fields[#fields + 1] = field end
  for k, value in ipairs(read(BUYER, fields)) do
    buyer_was[fields[k]] = value
    is[fields[k]] = value
  end
  for i = 1, #bought, 3 do
    local field, units, v = bought[i], bought[i + 1], bought[i + 2]
    local _, old, mine = string.match(is[field] or '0 0 0', '^(%d+) (%d+) (%d+)$')
    if tonumber(old) <= tonumber(v) then is[field] = units .. ' ' .. v .. ' ' .. mine end
  end
  for field, units in pairs(back) do
    local has, v, mine = string.match(is[field] or '0 0 0', '^(%d+) (%d+) (%d+)$')
    is[field] = has .. ' ' .. v .. ' ' .. math.max(0, mine - units)
  end
  local set, gone, more = {}, {}, 0
  for field, value in pairs(is) do
    local was = buyer_was[field]
    if value == '0 0 0' then
      if was then gone[#gone + 1] = field end
    elseif value ~= was then
      set[#set + 1] = field
      set[#set + 1] = value
      if not was then more = more + 1 end
    end
  end
  each('HSET', BUYER, set)
  each('HDEL', BUYER, gone)
  return more - #gone
end

-- Cuts `count` groups of `size` words out of the arguments, from `at` on; returns them and where the next part begins.
local function cut(at, size)
  local count = tonumber(ARGV[at])
  local words = {}
  for i = at + 1, at + count * size do words[#words + 1] = ARGV[i] end
  return words, at + 1 + count * size
end
