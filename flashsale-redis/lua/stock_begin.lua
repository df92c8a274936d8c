-- stock_begin: makes the gate ready to be loaded, unless it is loaded or being loaded (protocol 1.5, step 2).
--
-- args     1 nonce
-- answers  { open (0 or 1), nonce }
-- holds    a gate that was begun under another run_id is wiped; otherwise nothing changes
-- refuses  a server that may evict keys: a gate that forgets single keys is worse than one that forgets all
local policy = string.match(call('INFO', 'memory'), 'maxmemory_policy:([%w-]+)')
if policy ~= 'noeviction' then
  return redis.error_reply('EVICTION maxmemory-policy is ' .. tostring(policy) .. ', it must be noeviction')
end
local id = run_id()
local meta = call('HMGET', META, 'run_id', 'open', 'nonce')
if meta[1] == id and meta[2] and meta[3] then return { tonumber(meta[2]), meta[3] } end
wipe()
call('HSET', META, 'run_id', id, 'nonce', ARGV[1], 'open', 0, 'next', 1, 'holds', 0, 'items', 0, 'orders', 0,
  'buyers', 0, 'batches', 0)
return { 0, ARGV[1] }
