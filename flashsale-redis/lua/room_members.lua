-- room_members: records of members, as several scripts read, change and write them.

-- By member, as they are in this step; and those of them that are to be written.
local entries, written = {}, {}

-- What a record says of a member; nil if there is none. Numbers stay text until they are counted with.
local function entry(member, record)
  local known = entries[member]
  if known or not record then return known end
  local state, no, at, generation, left = match(record, '^(%u)(%d+) (%d+) ?(%S*) ?(%d*)$')
  known = { id = member, state = state, no = no, at = at, generation = generation == '' and '-' or generation, left = left }
  entries[member] = known
  return known
end

local function change(of, state, at)
  of.state, of.at = state, at
  if not of.changed then
    of.changed = true
    written[#written + 1] = of
  end
end

local function write_members()
  local words = {}
  for n, of in ipairs(written) do
    local record = of.state .. of.no .. ' ' .. of.at
    if of.state == 'T' then
      record = record .. ' ' .. of.generation .. ' ' .. of.left
    elseif of.state ~= 'L' then
      record = record .. ' ' .. of.generation
    end
    words[2 * n - 1], words[2 * n] = of.id, record
  end
  each('HSET', MEMBER, words)
end

-- A place before the line, as it stands in `ahead`.
local function early_text(of)
  if not of.early then
    local generation = of.generation == '-' and room.generation or tonumber(of.generation)
    of.early = string.format('%016.0f%016.0f', generation, tonumber(of.no)) .. of.id
  end
  return of.early
end

-- Written at once, as the rank of the next one may depend on it.
local function put_early(of)
  call('ZADD', AHEAD, 0, early_text(of))
  room.early = room.early + 1
end

-- Whether a turn has gone by, cleared away or not.
local function gone_by(of)
  return of.state == 'T' and tonumber(of.at) <= now
end

local DONE = { F = true, G = true, P = true }
local function is_done(of)
  return DONE[of.state] or gone_by(of)
end

-- Where a member stands, in words: "L no early" (all the early ones go before him), "E no generation ahead", "A no generation ahead",
-- "T no generation until extensions_left", "F no generation", "G ..", "P ..".
local function place(of)
  local state = of.state
  if state == 'L' then return 'L ' .. of.no .. ' ' .. text(room.early) end
  if gone_by(of) then state = 'P' end
  local words = state .. ' ' .. of.no .. ' ' .. of.generation
  if state == 'T' then return words .. ' ' .. of.at .. ' ' .. of.left end
  if state ~= 'E' and state ~= 'A' then return words end
  local ahead = call('ZLEXCOUNT', AHEAD, '-', '(' .. early_text(of))
  if of.generation == '-' then ahead = ahead + max(0, of.no - room.serving - 1) end
  return words .. ' ' .. text(ahead)
end

-- Takes a sign of life, and tells where he stands.
local function seen(of)
  if of.state == 'A' then
    local told = place(of)
    change(of, 'E', now_text)
    room.away = room.away - 1
    put_early(of)
    return told
  end
  if of.state == 'L' or of.state == 'E' then change(of, of.state, now_text) end
  return place(of)
end

-- Does something for each of the members that ARGV names from its second word on, and tells what it says; false for one who is unknown.
local function ask(what)
  local told = levels()
  local head = #told
  for k, record in ipairs(read(MEMBER, ARGV, 2, #ARGV)) do
    local of = entry(ARGV[1 + k], record)
    told[head + k] = of and what(of) or false
  end
  return told
end

-- Puts how the room stands now before what members are told.
local function answer(told)
  for at, value in ipairs(levels()) do told[at] = value end
  return told
end
