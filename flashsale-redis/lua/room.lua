-- What every script of a waiting room begins with: the keys of one room, how their values are written down, and the rules of
-- `flashsale_core::queue` that several steps go by: the door, the window of arrivals.
--
-- keys   1 room    hash  what it is and how it stands, a text each:
--                        terms     "opens_above within_ms closes_below turn_ms extensions absent_after_ms remembers_ms places_max" and, if
--                                  there is a schedule, " places_from opens_at prejoin_ms closes_at"
--                        set       "mode admits per_ms saved in_a_second capacity": what an operator changes, and of the pace the most credit
--                                  that can be saved and the most turns in a second
--                        message   "+text", or "-" for none
--                        state     "door edition generation serving issued line early away turns ended runs": the door is `closed` or
--                                  why it is open; then how many members are in line, early, away, have a turn, are done, and how many
--                                  elements the line has
--                        arrivals  "slice count .. count": the number of the newest slice of time, and the counts of the window, oldest first
--                        served    the same
--                        spending  "credit at at:count .."
--        2 member  hash  member -> record: one letter and the number, when he was last seen (of a turn: its end; of what is over: when it
--                        ended), but for the line the generation ("-": the room's own), and of a turn how many extensions are left.
--                        L in line, E early, A passed over while away, T turn, F finished, G gone, P passed by
--        3 line    list  "first id id ..": who took the places first, first + 1, ..; one who has left since is still named
--        4 ahead   zset  generation, number (16 digits each) and id in one text, all of score 0: so they are in order
--        5 turn    zset  member -> the end of his turn
--        6 ended   zset  member -> when his place ended
--
-- Every member is in exactly one of line, early, away, turns, ended. Time and numbers are whole and stay below 2^53. No key has a TTL.
local ROOM, MEMBER, LINE, AHEAD, TURN, ENDED = unpack(KEYS)
local floor, max, min = math.floor, math.max, math.min
local FIELDS = { 'terms', 'set', 'message', 'state', 'arrivals', 'served', 'spending' }
local U32 = 4294967295

-- The room as it was read and as it becomes; its fields as text, and which of them are to be written.
local room, fields, changed, now, now_text = nil, nil, {}, nil, nil

-- Forgets everything.
local function wipe()
  call('UNLINK', ROOM, MEMBER, LINE, AHEAD, TURN, ENDED)
end

-- Changes a field; it is written by `save`.
local function keep(name, value)
  for at = 1, #FIELDS do
    if FIELDS[at] == name and fields[at] ~= value then fields[at], changed[name] = value, value end
  end
end

local function places()
  return room.line + room.early + room.away + room.turns + room.ended
end

-- Whether every key holds as much as the scripts wrote. A room that a foreign hand has damaged would give a member two places, or skip
-- people; so it forgets the rest, too, is opened anew, and tickets bring the places back.
local function whole()
  if call('HLEN', MEMBER) == places() and call('LLEN', LINE) == room.runs and call('ZCARD', AHEAD) == room.early and
    call('ZCARD', TURN) == room.turns and call('ZCARD', ENDED) == room.ended then
    return true
  end
  wipe()
  return false
end

-- Reads the room and the time; false if there is none.
local function look(given)
  fields = call('HMGET', ROOM, unpack(FIELDS))
  now = time(given)
  now_text = text(now)
  if not fields[4] then return false end
  local door, rest = match(fields[4], '^(%a+) (.+)$')
  local numbers = {}
  for number in string.gmatch(rest, '%d+') do numbers[#numbers + 1] = tonumber(number) end
  local edition, generation, serving, issued, line, early, away, turns, ended, runs = unpack(numbers)
  room = { door = door, edition = edition, generation = generation, serving = serving, issued = issued, line = line,
    early = early, away = away, turns = turns, ended = ended, runs = runs }
  return whole()
end

-- Reads the terms into the room.
local function read_terms()
  local of, above, within, below, turn, extensions, absent, remembers, most, rest = room, match(fields[1],
    '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) ?(.*)$')
  of.opens_above, of.within, of.closes_below = tonumber(above), tonumber(within), tonumber(below)
  of.turn, of.extensions, of.absent_after = tonumber(turn), extensions, tonumber(absent)
  of.remembers, of.places_max = tonumber(remembers), tonumber(most)
  local from, opens, closes = match(rest, '^(%d+) (%d+) %d+ (%d+)$')
  of.places_from, of.opens_at, of.closes_at = tonumber(from), tonumber(opens), tonumber(closes)
  local mode, admits, per, saved, second, capacity = match(fields[2], '^(%a+) (%d+) (%d+) (%d+) (%d+) (%d+)$')
  of.mode, of.admits, of.per, of.saved = mode, tonumber(admits), tonumber(per), tonumber(saved)
  of.in_a_second, of.capacity = tonumber(second), tonumber(capacity)
end

-- Writes what has changed, in one call.
local function save()
  local of = room
  keep('state', string.format('%s %.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f', of.door, of.edition, of.generation,
    of.serving, of.issued, of.line, of.early, of.away, of.turns, of.ended, of.runs))
  local words = {}
  for name, value in pairs(changed) do
    words[#words + 1] = name
    words[#words + 1] = value
  end
  if #words > 0 then call('HSET', ROOM, unpack(words)) end
end

-- How the room stands: what every answer begins with.
local function levels()
  return { now_text, fields[1], fields[2], fields[3], fields[4], fields[5], fields[6] }
end

-- Where the moment lies in the schedule.
local function phase()
  if not room.opens_at then return 'running' end
  if now >= room.closes_at then return 'over' end
  if now >= room.opens_at then return 'running' end
  return now >= room.places_from and 'prejoin' or 'before'
end

-- Counts by slices of time: `newest`, and the counts by the number of their slice modulo `cells`.
local function read_tally(value, cells)
  local tally, n = { cells = cells }, 0
  for word in string.gmatch(value, '%d+') do
    if n == 0 then
      tally.newest = tonumber(word)
    else
      tally[(tally.newest - cells + n) % cells] = tonumber(word)
    end
    n = n + 1
  end
  return tally
end

local function tally_text(tally)
  local words = { text(tally.newest) }
  for n = 1, tally.cells do words[n + 1] = text(tally[(tally.newest - tally.cells + n) % tally.cells]) end
  return table.concat(words, ' ')
end

-- Counts `n` more in a slice; a clock that went back counts into the newest one.
local function count(tally, slice, n)
  if slice > tally.newest then
    for old = max(tally.newest, slice - tally.cells) + 1, slice do tally[old % tally.cells] = 0 end
    tally.newest = slice
  end
  local at = tally.newest % tally.cells
  tally[at] = min(tally[at] + n, U32)
end

-- The count of the window that ends with a slice.
local function within(tally, slice)
  local sum = 0
  for old = max(slice, tally.newest) - tally.cells + 1, tally.newest do sum = sum + tally[old % tally.cells] end
  return min(sum, U32)
end

-- The slice of time in which arrivals are counted now.
local function arrival_slice()
  return floor(now / floor(room.within / 10))
end

local function turn_door(door)
  if door ~= room.door then room.door, room.edition = door, room.edition + 1 end
end

-- Opens or closes the door, if it has to be. Tells the arrivals of the window, and their sum.
local function settle()
  local arrivals = read_tally(fields[5], 10)
  local sum, waiting = within(arrivals, arrival_slice()), room.line + room.early
  if room.mode == 'off' then
    turn_door('closed')
  elseif room.mode == 'hold' then
    turn_door('operator')
  elseif phase() == 'prejoin' then
    turn_door('schedule')
  elseif room.door == 'closed' then
    if sum > room.opens_above or waiting > 0 then turn_door('arrivals') end
  elseif waiting == 0 and sum < room.closes_below then
    turn_door('closed')
  end
  return arrivals, sum
end
