-- What every script begins with: the keys of one sale's gate, and how their values are written down.
--
-- keys   1 meta   hash    run_id nonce open epoch v tag sealed next holds state opens closes hold_ms, and how much the other
--                         keys hold: items orders buyers batches
--        2 item   hash    item -> "free held limit waiting"
--        3 order  hash    id -> "D v state hash", "H lines no deadline hash", or both joined by "|"
--        4 buyer  hash    buyer|item -> "bought v mine"
--        5 queue  list    one element a batch that took holds: "first deadline id id .."; the holds are numbered first, first + 1, ..
--        6 early  set     ids with both a hold and an answer, which a page of a later version wrote early
--
-- No key has a TTL. `D` is a decided order, copied from the ledger; `H` is a live hold; lines are "item=units,item=units".
-- Hashes, nonces and tags are 64 bits, so they stay text here; numbers of holds and versions stay far below 2^53.
local META, ITEM, ORDER, BUYER, QUEUE, EARLY = unpack(KEYS)
local call = redis.call

-- The most values that are unpacked at once: the stack of Lua ends near 8,000.
local MOST = 4000

-- A server that was restarted, promoted or replaced has another run_id than the one under which the gate was begun.
local function run_id()
  return string.match(call('INFO', 'server'), 'run_id:(%x+)')
end

-- The gate's time in milliseconds: the server's own, unless a test hands one in.
local function time(given)
  if given ~= '' then return tonumber(given) end
  local t = call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function text(number)
  return string.format('%.0f', number)
end

-- Reads fields of a hash, all of a list or those from one place to another; false where there is none.
local function read(key, fields, from, to)
  from, to = from or 1, to or #fields
  if to < from then return {} end
  if to - from < MOST then return call('HMGET', key, unpack(fields, from, to)) end
  local all = {}
  for at = from, to, MOST do
    local part = call('HMGET', key, unpack(fields, at, math.min(at + MOST - 1, to)))
    for k = 1, #part do all[at - from + k] = part[k] end
  end
  return all
end

-- Runs a variadic command over a list.
local function each(command, key, list)
  for from = 1, #list, MOST do
    call(command, key, unpack(list, from, math.min(from + MOST - 1, #list)))
  end
end

-- Forgets everything.
local function wipe()
  call('UNLINK', META, ITEM, ORDER, BUYER, QUEUE, EARLY)
end

-- Whether every key holds as much as the scripts wrote. A key that a foreign hand deleted would tell a winner that he has nothing;
-- so a gate that is damaged forgets the rest, too, and is loaded anew like one that is empty.
local function whole(items, orders, buyers, batches)
  if call('HLEN', ITEM) == tonumber(items) and call('HLEN', ORDER) == tonumber(orders) and
    call('HLEN', BUYER) == tonumber(buyers) and call('LLEN', QUEUE) == tonumber(batches) then
    return true
  end
  wipe()
  return false
end

-- The two parts of an order's value, each false if it is not there.
local function parts(value)
  if not value then return false, false end
  if string.byte(value) == 72 then return false, value end
  local done, hold = string.match(value, '^([^|]+)|(.+)$')
  if done then return done, hold end
  return value, false
end

-- The number of the live hold in an order's value; nil if there is none.
local function hold_no(value)
  local _, hold = parts(value)
  return hold and tonumber(string.match(hold, '^H %S+ (%d+)'))
end
