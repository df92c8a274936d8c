-- What every script begins with: time, text, and lists that are longer than the stack of Lua.
local call, find, match, sub = redis.call, string.find, string.match, string.sub

-- The most values that are unpacked at once: the stack of Lua ends near 8,000.
local MOST = 4000

-- The time in milliseconds: the server's own, unless a test hands one in.
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
