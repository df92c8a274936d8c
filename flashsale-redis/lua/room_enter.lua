-- room_enter: counts arrivals and decides "through" or "place" for each of a batch in its order.
--
-- args     1 time or ''   2 number of members   then the members   then, for each who has a ticket: his place in the batch, generation, number
-- answers  {} if there is no room, else levels, then a count and an answer for so many members ..; an answer is
--          "through", "too_early", "closed", "room_full", "new no early" (so many new places in line from this number on, behind so many
--          early ones), "first place" (a new place before the line), "same place"; `place` as in `room_members`
-- holds    members are read once and written once, whatever the batch; only places before the line are written one by one
if not look(ARGV[1]) then return {} end
read_terms()
local n = tonumber(ARGV[2])
-- What changes with every new place is kept in variables until the end.
local issued, joined, more = room.issued, 0, 0
local arrivals, sum = settle()

local answers, count_at, last = {}, 0, nil
local function tell(times, answer)
  if answer == last then
    answers[count_at] = answers[count_at] + times
  else
    count_at, last = #answers + 1, answer
    answers[count_at], answers[count_at + 1] = times, answer
  end
end

-- New places in line that are told in one: up to which number, behind how many early ones.
local new_next, new_early

local tickets = {}
for at = 3 + n, #ARGV, 3 do
  tickets[tonumber(ARGV[at])] = { generation = tonumber(ARGV[at + 1]), no = tonumber(ARGV[at + 2]), words = ARGV[at + 2] }
end

-- Whether the store did not give this number: it lost the end of the line.
local function is_new(ticket)
  return ticket.generation == room.generation and ticket.no > issued
end

-- What is written: member, record, ..; the line, in runs of following numbers; who is in line since this step began; who was done.
local kept, runs, run, fresh, turned, ended = {}, {}, nil, {}, {}, {}
-- How many ids stand in one element at most, so that a step that needs a few does not read thousands.
local RUN_MOST = 64
local since, hundreds = ' ' .. now_text, nil

-- A number of the line, and a place at its end. To turn each number into text would cost more than all else that is done with it.
local kept_to, run_to = 0, RUN_MOST
local function join(member, no)
  local low, follows = no % 100, no == issued + 1
  if low == 0 or not hundreds or not follows then hundreds = 'L' .. (no < 100 and '' or text((no - low) / 100)) end
  if run_to >= RUN_MOST or not follows then
    run, run_to = { text(no) }, 0
    runs[#runs + 1] = run
  end
  run_to = run_to + 1
  run[run_to + 1] = member
  kept[kept_to + 1] = member
  kept[kept_to + 2] = hundreds .. (no < 10 and no or LOW[low]) .. since
  kept_to = kept_to + 2
  issued, joined = no, joined + 1
  fresh[member] = no
  if no == new_next and room.early == new_early and last == false then
    answers[count_at] = answers[count_at] + 1
  else
    count_at, last = #answers + 1, false
    answers[count_at], answers[count_at + 1] = 1, 'new ' .. text(no) .. ' ' .. text(room.early)
    new_early = room.early
  end
  new_next = no + 1
end

local kept_places = places()
-- Whether there are as many entries as may be, or (whoever it is) as many numbers that the line has not passed.
local function full(known)
  return not known and kept_places >= room.places_max or issued - room.serving >= 2 * room.places_max
end

-- A member of whom something is known, or who has a ticket.
local function decide(member, record, ticket, counted)
  if fresh[member] then return tell(1, 'same L ' .. text(fresh[member]) .. ' ' .. text(room.early)) end
  local of = entry(member, record)
  if of and not is_done(of) then return tell(1, 'same ' .. seen(of)) end
  if full(of) then return tell(1, 'room_full') end
  if not counted then more = more + 1 end
  if of then
    if of.state == 'T' then
      room.turns = room.turns - 1
      turned[#turned + 1] = member
    else
      room.ended = room.ended - 1
      ended[#ended + 1] = member
    end
    return join(member, issued + 1)
  end
  kept_places = kept_places + 1
  if not ticket or ticket.generation > room.generation or ticket.no == 0 then return join(member, issued + 1) end
  if is_new(ticket) then return join(member, ticket.no) end
  local own = ticket.generation == room.generation
  of = { id = member, no = ticket.words, generation = own and '-' or text(ticket.generation), left = '' }
  entries[member] = of
  change(of, 'E', now_text)
  put_early(of)
  tell(1, 'first ' .. place(of))
end

local when = phase()
if room.mode == 'off' then
  tell(n, 'through')
elseif when == 'before' then
  tell(n, 'too_early')
elseif when == 'over' then
  tell(n, 'closed')
else
  local from = 1
  if room.door == 'closed' and not next(tickets) then
    -- Nobody has to be looked up before the door opens.
    more = max(0, min(n, room.opens_above - sum))
    from = more + 1
    if more > 0 then tell(more, 'through') end
  end
  local records = read(MEMBER, ARGV, 2 + from, 2 + n)
  for k = from, n do
    local member, ticket, record = ARGV[2 + k], tickets[k], records[k - from + 1]
    local counted = room.door == 'closed'
    if counted then
      more = more + 1
      local lost = ticket and ticket.no > 0 and (ticket.generation < room.generation or is_new(ticket))
      if lost or sum + more > room.opens_above then turn_door('arrivals') end
    end
    if room.door == 'closed' then
      tell(1, 'through')
    elseif record or ticket or fresh[member] or entries[member] then
      decide(member, record, ticket, counted)
    elseif full(false) then
      tell(1, 'room_full')
    else
      -- As `decide` would, for what nearly everybody in a rush is.
      if not counted then more = more + 1 end
      kept_places = kept_places + 1
      join(member, issued + 1)
    end
  end
end

for at, ids in ipairs(runs) do runs[at] = table.concat(ids, ' ') end
room.issued, room.line, room.runs = issued, room.line + joined, room.runs + #runs
each('HSET', MEMBER, kept)
write_members()
each('RPUSH', LINE, runs)
each('ZREM', TURN, turned)
each('ZREM', ENDED, ended)
if more > 0 then
  count(arrivals, arrival_slice(), more)
  keep('arrivals', tally_text(arrivals))
end
save()
local told = levels()
for at = 1, #answers do told[#told + 1] = answers[at] end
return told
