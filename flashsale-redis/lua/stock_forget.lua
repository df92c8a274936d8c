-- stock_forget: wipes the gate if it still has this nonce, so that a new one can begin.
--
-- args     1 nonce
-- answers  1 if it was wiped, else 0
if call('HGET', META, 'nonce') ~= ARGV[1] then return 0 end
wipe()
return 1
