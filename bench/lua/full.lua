-- A reservation as a shop would write it: one call per request, a command per thing that is looked up or kept.
--
-- keys     1 item hash: free held limit   2 order hash   3 units per buyer   4 deadlines, a sorted set   5 the last number
-- args     1 id   2 buyer   3 units   4 hash of the request   5 hold in milliseconds
-- answers  { 'held', number } or { a refusal }
local was = redis.call('HGET', KEYS[2], ARGV[1])
if was then
  local held = cjson.decode(was)
  if held.hash ~= ARGV[4] then return { 'key_reused' } end
  return { 'held', held.number }
end
local units = tonumber(ARGV[3])
local item = redis.call('HMGET', KEYS[1], 'free', 'held', 'limit')
local has = tonumber(redis.call('HGET', KEYS[3], ARGV[2]) or 0)
if has + units > tonumber(item[3]) then return { 'buyer_limit' } end
if units > tonumber(item[1]) then return { 'sold_out' } end
if units > tonumber(item[1]) - tonumber(item[2]) then return { 'all_held' } end
local time = redis.call('TIME')
local deadline = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[5]
local number = redis.call('INCR', KEYS[5])
local held = cjson.encode({ number = number, hash = ARGV[4], buyer = ARGV[2], units = units, deadline = deadline })
redis.call('HSET', KEYS[2], ARGV[1], held)
redis.call('HINCRBY', KEYS[3], ARGV[2], units)
redis.call('HINCRBY', KEYS[1], 'held', units)
redis.call('ZADD', KEYS[4], deadline, ARGV[1])
return { 'held', number }
