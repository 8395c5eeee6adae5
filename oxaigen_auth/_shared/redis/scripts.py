"""The Lua scripts that run in the Redis server, each as one atomic step.

Keys, where `<token>` and `<question>` are the hexadecimal ids, and 1 is the version of this format:

oxa:1:fleet                 `<count>:<epoch>`. The count is in microseconds of the server's clock,
                            and grows with each forgotten user, also after the key was lost.
oxa:1:marks                 a sorted set: user tag → count at which the user was forgotten. It also
                            has the epoch as a member: without it, the marks were lost.
oxa:1:{<token>}:g           the generation
oxa:1:{<token>}:<question>  an entry: 16 bytes that bind it to generation and epoch, 8 for the
                            count, 16 for the user tag, then what is sealed
oxa:1:{<token>}:<question>:l  the owner of the lease
oxa:1:events:<database>     the channel of the events; channels do not belong to a database
"""

from __future__ import annotations

from hashlib import sha1
from typing import Any

from coredis.connection import BaseConnection
from coredis.exceptions import NoScriptError

from oxaigen_auth._shared.redis.origins import EPOCH_ORIGIN, GENERATION_ORIGIN, Origin
from oxaigen_auth._shared.store import EntryKey

FLEET = b"oxa:1:fleet"
MARKS = b"oxa:1:marks"


def channel(database: int) -> bytes:
    return b"oxa:1:events:%d" % database


def generation_key(token_id: bytes) -> bytes:
    return b"oxa:1:{%b}:g" % token_id.hex().encode()


def entry_key(key: EntryKey) -> bytes:
    return b"oxa:1:{%b}:%b" % (key.token_id.hex().encode(), key.question_id.hex().encode())


def lease_key(key: EntryKey) -> bytes:
    return entry_key(key) + b":l"


class Script:
    """A Lua script. It is sent by its hash, and as a whole if the server does not know it."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._sha = sha1(source.encode()).hexdigest()  # noqa: S324 (what Redis calls scripts by)

    async def run(self, connection: BaseConnection, keys: list[bytes], *args: bytes | int) -> Any:
        """Return the script's result.

        Raises:
            coredis.exceptions.RedisError: if the script or the connection fails.
        """
        rest = (len(keys), *keys, *args)
        try:
            return await connection.create_request(b"EVALSHA", self._sha, *rest)
        except NoScriptError:  # so it has not run
            return await connection.create_request(b"EVAL", self._source, *rest)


# Keys: fleet, lease, then for each key of the caller its generation and its entry.
# Arguments: owner or "", lease in ms, memory in ms, epoch to create, fleet to replace, then for
# each key the generation to create and the one to replace. What is replaced was not authentic.
READ = Script("""
local fleet = redis.call('GET', KEYS[1])
if not fleet or fleet == ARGV[5] then
  local now = redis.call('TIME')
  fleet = now[1] .. string.format('%06d', now[2]) .. ':' .. ARGV[4]
  redis.call('SET', KEYS[1], fleet)
end
local leads = 0
if ARGV[1] ~= '' then
  redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2])
  if redis.call('GET', KEYS[2]) == ARGV[1] then leads = 1 end
end
local answer = {leads, fleet}
for i = 3, #KEYS, 2 do
  local generation = redis.call('GET', KEYS[i])
  if not generation or generation == ARGV[i + 4] then
    generation = ARGV[i + 3]
    redis.call('SET', KEYS[i], generation, 'PX', ARGV[3])
  elseif redis.call('PTTL', KEYS[i]) < tonumber(ARGV[3]) then
    redis.call('PEXPIRE', KEYS[i], ARGV[3])
  end
  answer[i] = generation
  answer[i + 1] = redis.call('GET', KEYS[i + 1])
end
return answer
""")

# Keys: fleet, marks, generation, entry, lease.
# Arguments: owner, epoch, count, user tag or "", generation, record, what was seen in the place of
# the record (without its head) or "", lifetime in ms, memory in ms.
PUT = Script(f"""
local function is_forgotten(value, at)
  return string.sub(value, at, at) == '{Origin.FORGOTTEN.value.decode()}'
end
if redis.call('GET', KEYS[5]) == ARGV[1] then redis.call('DEL', KEYS[5]) end
local generation = redis.call('GET', KEYS[3]) or ''
local fleet = redis.call('GET', KEYS[1]) or ''
local colon = string.find(fleet, ':', 1, true) or 0
local epoch = string.sub(fleet, colon + 1)
local is_lost = generation ~= ARGV[5] or epoch ~= ARGV[2]
if generation ~= ARGV[5] and is_forgotten(generation, {GENERATION_ORIGIN}) then
  return 'outdated'
end
if epoch ~= ARGV[2] and is_forgotten(epoch, {EPOCH_ORIGIN}) then return 'outdated' end
if ARGV[4] ~= '' and string.sub(fleet, 1, colon - 1) ~= ARGV[3] then
  local mark = redis.call('ZSCORE', KEYS[2], ARGV[4])
  if mark and tonumber(mark) > tonumber(ARGV[3]) then return 'outdated' end
  if not redis.call('ZSCORE', KEYS[2], ARGV[2]) then is_lost = true end
end
if is_lost then return 'lost' end
local stored = redis.call('GET', KEYS[4])
if stored and string.sub(stored, 1, 16) == string.sub(ARGV[6], 1, 16)
    and string.sub(stored, 25) ~= ARGV[7] then
  return 'superseded'
end
if tonumber(ARGV[8]) > 0 then
  redis.call('SET', KEYS[4], ARGV[6], 'PX', ARGV[8])
  local memory = math.max(tonumber(ARGV[8]), tonumber(ARGV[9]))
  if redis.call('PTTL', KEYS[3]) < memory then redis.call('PEXPIRE', KEYS[3], memory) end
end
return 'stored'
""")

# Keys: lease. Arguments: owner.
RELEASE = Script("""
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
""")

# Keys: generations. Arguments: memory in ms, then the new generations.
FORGET_TOKENS = Script("""
for i = 1, #KEYS do redis.call('SET', KEYS[i], ARGV[i + 1], 'PX', ARGV[1]) end
return 1
""")

# Keys: fleet, marks. Arguments: epoch.
FORGET_ALL = Script("""
local now = redis.call('TIME')
redis.call('SET', KEYS[1], now[1] .. string.format('%06d', now[2]) .. ':' .. ARGV[1])
redis.call('DEL', KEYS[2])
return 1
""")

# Keys: fleet, marks. Arguments: memory in ms, epoch to create if there is none, then user tags.
FORGET_USERS = Script("""
local fleet = redis.call('GET', KEYS[1])
if not fleet or not string.find(fleet, ':', 1, true) then fleet = '0:' .. ARGV[2] end
local colon = string.find(fleet, ':', 1, true)
local epoch = string.sub(fleet, colon + 1)
local now = redis.call('TIME')
local micros = tonumber(now[1]) * 1000000 + tonumber(now[2])
local count = math.max(micros, tonumber(string.sub(fleet, 1, colon - 1)) + 1)
local text = string.format('%.0f', count)
redis.call('ZADD', KEYS[2], text, epoch)
for i = 3, #ARGV do redis.call('ZADD', KEYS[2], text, ARGV[i]) end
local oldest = string.format('(%.0f', micros - tonumber(ARGV[1]) * 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', oldest)
redis.call('PEXPIRE', KEYS[2], ARGV[1])
redis.call('SET', KEYS[1], text .. ':' .. epoch)
return 1
""")
