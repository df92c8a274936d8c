-- What every script of the gate begins with: the keys of one sale, and how their values are written down.
--
-- keys   1 meta   hash    run_id nonce open epoch v tag sealed next holds state opens closes hold_ms, and how much the other
--                         keys hold: items orders buyers batches
--        2 item   hash    item -> "free held limit waiting"
--        3 order  hash    id -> "v state hash": a decided order, copied from the ledger
--        4 buyer  hash    buyer -> record, see below; whoever has an order, a hold or units here has one
--        5 queue  list    one element a batch that took holds: "first deadline id id .."; the holds are numbered first, first + 1, ..
--        6 early  set     ids with both a hold and an answer, which a page of a later version wrote early
--
-- A record is a head and live holds. The head is "+" if an order of this buyer is decided, so that `order` must be asked as well, or
-- "-" if none is; then what he has of each item, "item bought v mine" with commas between. A hold is ";id lines no deadline hash",
-- its lines "item=units,item=units". So one look tells all of a buyer who is new, and one write keeps all of his hold.
--
-- No key has a TTL. Ids have none of the signs "+,;=~" but the one "~" behind the buyer of an order's id. Hashes, nonces and tags
-- are 64 bits, so they stay text here; numbers of holds and versions stay far below 2^53.
local META, ITEM, ORDER, BUYER, QUEUE, EARLY = unpack(KEYS)

-- A server that was restarted, promoted or replaced has another run_id than the one under which the gate was begun.
local function run_id()
  return match(call('INFO', 'server'), 'run_id:(%x+)')
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

-- Whose order this is.
local function buyer_of(id)
  return sub(id, 1, find(id, '~', 1, true) - 1)
end

-- Head and holds of a record; a buyer without a record has nothing.
local function split(record)
  if not record then return '-', '' end
  local at = find(record, ';', 1, true)
  if not at then return record, '' end
  return sub(record, 1, at - 1), sub(record, at)
end

-- The hold of an id: where it begins, lines, number, deadline, hash, where the next one begins; nil if there is none.
local function hold_of(holds, id)
  local at, last = find(holds, ';' .. id .. ' ', 1, true)
  if not at then return nil end
  return at, match(holds, '^(%S+) (%d+) (%d+) (%d+)()', last + 1)
end

-- A function of two texts that remembers what it told: in one call the same is asked over and over.
local function remembering(tell)
  local seen, last_one, last_other, last = {}, nil, nil, nil
  return function(one, other)
    if one == last_one and other == last_other then return last end
    local told = seen[one] or {}
    seen[one] = told
    told[other] = told[other] or tell(one, other)
    last_one, last_other, last = one, other, told[other]
    return last
  end
end

-- What a head says of each item, in its order and by name.
local function units_in(head)
  local all = {}
  for item, bought, v, mine in string.gmatch(sub(head, 2), '([^, ]+) (%d+) (%d+) (%d+)') do
    local units = { item = item, bought = tonumber(bought), v = tonumber(v), mine = tonumber(mine) }
    all[#all + 1], all[item] = units, units
  end
  return all
end

-- The head that says so; an item of which nothing was ever bought and nothing is held is not named.
local function head_with(sign, all)
  local words = {}
  for _, units in ipairs(all) do
    if units.bought > 0 or units.v > 0 or units.mine > 0 then
      words[#words + 1] = units.item .. ' ' .. text(units.bought) .. ' ' .. text(units.v) .. ' ' .. text(units.mine)
    end
  end
  return sign .. table.concat(words, ',')
end

local function entry(all, item)
  if not all[item] then
    all[item] = { item = item, bought = 0, v = 0, mine = 0 }
    all[#all + 1] = all[item]
  end
  return all[item]
end

-- The head after a hold of these lines was taken (`by` is 1) or has ended (-1).
local function head_after(head, lines, by)
  local all = units_in(head)
  for item, units in string.gmatch(lines, '([^=,]+)=(%d+)') do
    local has = entry(all, item)
    has.mine = math.max(0, has.mine + by * units)
  end
  return head_with(sub(head, 1, 1), all)
end
