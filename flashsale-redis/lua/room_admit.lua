-- room_admit: gives turns to the head of the line, by rate and by capacity.
--
-- args     1 time or ''   2 the most places that are looked at   3 the most grants that are remembered
-- answers  {} if there is no room, else levels, admitted, skipped, and in how many milliseconds the next step may do something, or ''
-- holds    the rules are those of `Spending`; the line and the early places are read in parts, and each is written once
if not look(ARGV[1]) then return {} end
read_terms()
settle()
local most, grants_most = tonumber(ARGV[2]), tonumber(ARGV[3])
local admitted, skipped, passed, next_in = 0, 0, 0, ''

-- How many places are read at once: as many as an element of the line has.
local PART = 64

-- What stands at the head of the line: an element, and where in it.
local names, records, first, at = {}, {}, 0, 1
local opened, emptied = 0, 0
-- The number and the member who stands there; nothing if nobody does.
local function line_head()
  if at > #names then
    if opened >= room.runs then return nil end
    local number, rest = match(call('LINDEX', LINE, opened), '^(%d+) (.+)$')
    first, names = tonumber(number), {}
    for name in string.gmatch(rest, '%S+') do names[#names + 1] = name end
    opened = opened + 1
    at = max(1, room.serving - first + 2)
    records = {}
    for k, record in ipairs(read(MEMBER, names, at, #names)) do records[at + k - 1] = record end
  end
  return first + at - 1, names[at], records[at]
end

-- The early places that were read, and how many of them were passed.
local early, early_records, taken, read_to = {}, {}, 0, 0
local function early_head()
  if taken >= read_to and room.early > 0 then
    early = call('ZRANGE', AHEAD, taken, taken + PART - 1)
    local ids = {}
    for k, key in ipairs(early) do ids[k] = sub(key, 33) end
    early_records = read(MEMBER, ids)
    read_to = taken + #early
  end
  local k = #early - (read_to - taken) + 1
  local key = early[k]
  if not key or taken >= read_to then return nil end
  return tonumber(sub(key, 1, 16)), tonumber(sub(key, 17, 32)), sub(key, 33), early_records[k]
end

-- Takes the head: the early one where two have the same number. Tells the member, unless he left.
local function take()
  local no, member, record = line_head()
  local generation, early_no, early_member, early_record = early_head()
  if generation and not (no and generation == room.generation and early_no > no) then
    taken, room.early = taken + 1, room.early - 1
    return entry(early_member, early_record)
  end
  at, room.serving = at + 1, no
  if at > #names then emptied = emptied + 1 end
  local of = entry(member, record)
  if not of or of.state ~= 'L' or tonumber(of.no) ~= no then return nil end
  room.line = room.line - 1
  return of
end

local function somebody()
  return room.early > 0 or at <= #names or opened < room.runs
end

if room.door ~= 'closed' and room.mode == 'auto' and phase() == 'running' then
  -- Credit is filled up, and grants older than a second are forgotten.
  local words, grants, spent = {}, {}, 0
  for word in string.gmatch(fields[7], '%S+') do words[#words + 1] = word end
  local credit, filled = tonumber(words[1]), tonumber(words[2])
  credit = min(credit + max(0, now - filled) * room.admits, room.saved)
  filled = max(filled, now)
  for n = 3, #words do
    local when, times = match(words[n], '^(%d+):(%d+)$')
    if tonumber(when) > now - 1000 then
      grants[#grants + 1] = { at = tonumber(when), times = tonumber(times) }
      spent = spent + times
    end
  end

  local free = max(0, room.capacity - room.turns)
  local newest = grants[#grants]
  local allowed = min(max(0, room.in_a_second - spent), floor(credit / room.per), free)
  if #grants >= grants_most and newest.at ~= now then allowed = 0 end

  local turns, until_text = {}, text(now + room.turn)
  while admitted < allowed and passed < most and somebody() do
    local of = take()
    passed = passed + 1
    if of and max(0, now - of.at) >= room.absent_after then
      skipped, room.away = skipped + 1, room.away + 1
      change(of, 'A', of.at)
    elseif of then
      admitted, room.turns = admitted + 1, room.turns + 1
      of.left = room.extensions
      change(of, 'T', until_text)
      turns[#turns + 1] = until_text
      turns[#turns + 1] = of.id
    end
  end

  if admitted > 0 then
    credit, spent = max(0, credit - admitted * room.per), spent + admitted
    if newest and newest.at == now then
      newest.times = newest.times + admitted
    else
      grants[#grants + 1] = { at = now, times = admitted }
    end
  end
  words = { text(credit), text(filled) }
  for n, grant in ipairs(grants) do words[2 + n] = text(grant.at) .. ':' .. text(grant.times) end
  keep('spending', table.concat(words, ' '))
  if passed > 0 then
    local served = read_tally(fields[6], 13)
    count(served, floor(now / 5000), passed)
    keep('served', tally_text(served))
  end

  if not somebody() or (admitted == allowed and admitted == free) then
    next_in = ''
  elseif admitted < allowed then
    next_in = '0'
  else
    local by_credit, by_second = math.ceil(max(0, room.per - credit) / room.admits), 0
    if grants[1] and (spent >= room.in_a_second or #grants >= grants_most) then
      by_second = max(0, grants[1].at + 1000 - now)
    end
    next_in = text(max(by_credit, by_second))
  end

  room.runs = room.runs - emptied
  write_members()
  each('ZADD', TURN, turns)
  if taken > 0 then call('ZREMRANGEBYRANK', AHEAD, 0, taken - 1) end
  if emptied > 0 then call('LTRIM', LINE, emptied, -1) end
end

save()
local told = levels()
told[#told + 1], told[#told + 2], told[#told + 3] = text(admitted), text(skipped), next_in
return told
