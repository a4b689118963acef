"""The scripts, each of them whole: what must hold together is one script, for nothing comes between its commands.

Each has five keys of one space: the mark, the rows, their keys in order, the sizes of the undo pages, and the names
of the undo pages without the number. Since the last is no key that is there, a cluster that is moving the slot runs no
script on it before all of it has moved. An undo page is what a commit replaced: under each key of it `1` and the old
value, or `0` where there was none; under the zero byte, which begins no key, the stamp of the commit before. Each
commit has a stamp of its own, drawn by who sends it: two that have the same number, one of them lost in a fail-over,
are told apart. `unpack` is given a part of a long list at a time, since Lua's stack has an end.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

NAMES = ("mark", "rows", "order", "sizes", "undo:")

UNDO_MS = 5000
"""Milliseconds for which it is kept what a commit replaced."""

UNDO_COMMITS = 500
"""Commits of a space of which that is kept at most."""

UNDO_BYTES = 4 << 20
"""Bytes of keys and values that are kept so at most, in a space."""


def keys_of(space: str) -> tuple[bytes, ...]:
    """The keys of a space. What is in the braces alone says in which slot they lie."""
    return tuple(f"lighthouse:{{{space}}}:{name}".encode() for name in NAMES)


@dataclass(frozen=True)
class Script:
    """A script in Lua, known to a server by its hash."""

    text: str

    @cached_property
    def sha(self) -> str:
        """What EVALSHA calls it."""
        return hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


CLOCK = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

IN_PARTS = """
local function in_parts(command, key, list)
  for i = 1, #list, 1000 do redis.call(command, key, unpack(list, i, math.min(i + 999, #list))) end
end
"""

# ARGV: the owner, epoch, commit and position that the mark must have; the new stamp. Another mark is answered as it is.
COMPARED = """
local mark = redis.call('HMGET', KEYS[1], 'owner', 'epoch', 'commit', 'position', 'stamp', 'kept')
for i = 1, 4 do
  if mark[i] ~= ARGV[i] then return {0, mark[2], mark[3], mark[4]} end
end
"""

# ARGV: uuid of the new owner. Rows without a mark are nobody's.
OWN = Script("""
local mark = redis.call('HMGET', KEYS[1], 'epoch', 'commit', 'position', 'stamp')
local epoch = string.format('%.0f', (mark[1] or 0) + 1)
local number, position = mark[2] or '0', mark[3] or '-1'
if not mark[1] then redis.call('UNLINK', KEYS[2], KEYS[3], KEYS[4]) end
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'epoch', epoch, 'commit', number, 'position', position,
  'stamp', mark[4] or '')
return {1, epoch, number, position}
""")

# ARGV: uuid and epoch of the owner.
BEAT = Script(f"""{CLOCK}
local mark = redis.call('HMGET', KEYS[1], 'owner', 'epoch')
if mark[1] ~= ARGV[1] or mark[2] ~= ARGV[2] then return {{0}} end
redis.call('HSET', KEYS[1], 'beat', string.format('%.0f', now))
return {{1}}
""")

# ARGV: mark and stamp; the new position; how long, how many and how large undo pages are kept; the number of puts; the
# puts, key and value; the deletes. Its first write is one that a server without memory refuses, and then all of them.
COMMIT = Script(f"""{COMPARED}{CLOCK}{IN_PARTS}
local behind = 10 + 2 * ARGV[10]
local keys = {{}}
for i = 11, behind, 2 do keys[#keys + 1] = ARGV[i] end
for i = behind + 1, #ARGV do keys[#keys + 1] = ARGV[i] end

local puts, undo, size = tonumber(ARGV[10]), {{'\\0', mark[5]}}, 0
local new, gone = {{}}, {{}}
for from = 1, #keys, 1000 do
  local to = math.min(from + 999, #keys)
  local old = redis.call('HMGET', KEYS[2], unpack(keys, from, to))
  for i = from, to do
    local key, value = keys[i], old[i - from + 1]
    if value or i <= puts then
      undo[#undo + 1] = key
      undo[#undo + 1] = value and '1' .. value or '0'
      size = size + #key + (value and #value or 0)
    end
    if i <= puts and not value then
      new[#new + 1] = '0'
      new[#new + 1] = key
    elseif i > puts and value then
      gone[#gone + 1] = key
    end
  end
end

local number = mark[3] + 1
local page = KEYS[5] .. string.format('%.0f', number)
in_parts('HSET', page, undo)
redis.call('PEXPIRE', page, ARGV[7])
local count = redis.call('RPUSH', KEYS[4], size)
redis.call('PEXPIRE', KEYS[4], ARGV[7])
local kept = size
if count > 1 then kept = kept + mark[6] end
while count > 0 and (count > tonumber(ARGV[8]) or kept > tonumber(ARGV[9])) do
  kept = kept - redis.call('LPOP', KEYS[4])
  redis.call('UNLINK', KEYS[5] .. string.format('%.0f', number - count + 1))
  count = count - 1
end

local rows = {{}}
for i = 11, behind do rows[#rows + 1] = ARGV[i] end
in_parts('HSET', KEYS[2], rows)
in_parts('ZADD', KEYS[3], new)
in_parts('HDEL', KEYS[2], gone)
in_parts('ZREM', KEYS[3], gone)
redis.call('HSET', KEYS[1], 'commit', string.format('%.0f', number), 'position', ARGV[6], 'stamp', ARGV[5],
  'kept', kept, 'beat', string.format('%.0f', now))
return {{1}}
""")

# ARGV: mark and stamp. What it removes is not kept: a view of it ends.
WIPE = Script(f"""{COMPARED}{CLOCK}
local number = mark[3] + 1
for i = 0, redis.call('LLEN', KEYS[4]) do redis.call('UNLINK', KEYS[5] .. string.format('%.0f', number - i)) end
redis.call('UNLINK', KEYS[2], KEYS[3], KEYS[4])
redis.call('HSET', KEYS[1], 'commit', string.format('%.0f', number), 'position', '-1', 'stamp', ARGV[5],
  'kept', '0', 'beat', string.format('%.0f', now))
return {{1}}
""")

# ARGV: the number of the commit that a view is pinned to, empty for none, and its stamp.
# `undone` walks through the undo pages of all commits after that one, and is false where the past is no longer known.
PINNED = f"""{CLOCK}
local mark = redis.call('HMGET', KEYS[1], 'epoch', 'commit', 'position', 'stamp', 'beat')
local head = {{mark[1], mark[2], mark[3], mark[4], mark[5] and string.format('%.0f', now - mark[5])}}
local pinned, newest, stamp = tonumber(ARGV[1]), tonumber(mark[2] or 0), mark[4] or ''
local function undone(read)
  if not pinned then return true end
  if newest == pinned then return stamp == ARGV[2] end
  for number = pinned + 1, newest do
    local before = read(KEYS[5] .. string.format('%.0f', number))
    if not before or number == pinned + 1 and before ~= ARGV[2] then return false end
  end
  return newest > pinned
end
"""

# ARGV: commit and stamp; the keys. Answers the mark, and the values, or nothing in their place.
LOOK = Script(f"""{PINNED}
local values, known = {{}}, {{}}
for i = 3, #ARGV, 1000 do
  local some = redis.call('HMGET', KEYS[2], unpack(ARGV, i, math.min(i + 999, #ARGV)))
  for j = 1, #some do values[#values + 1] = some[j] end
end
local function page(name)
  for i = 3, #ARGV, 1000 do
    local some = redis.call('HMGET', name, unpack(ARGV, i, math.min(i + 999, #ARGV)))
    for j = 1, #some do
      local place = i - 3 + j
      if some[j] and not known[place] then
        known[place] = true
        values[place] = string.sub(some[j], 1, 1) == '1' and string.sub(some[j], 2)
      end
    end
  end
  return redis.call('HGET', name, '\\0')
end
return {{head, undone(page) and values}}
""")

# ARGV: commit and stamp; the prefix; the ends of the scan as ZRANGEBYLEX wants them, the larger one first with `REV`;
# that or nothing; how many rows and how many bytes of values. Answers the mark, whether there is more, the rows as they
# are now, and below the prefix what each key had that was changed since: the caller puts both together.
SCAN = Script(f"""{PINNED}
local before, changed, prefix = {{}}, {{}}, ARGV[3]
local function page(name)
  local all, owner = redis.call('HGETALL', name), false
  for i = 1, #all, 2 do
    local key = all[i]
    if key == '\\0' then
      owner = all[i + 1]
    elseif not before[key] and string.sub(key, 1, #prefix) == prefix then
      before[key] = true
      changed[#changed + 1] = key
      changed[#changed + 1] = all[i + 1]
    end
  end
  return owner
end
if not undone(page) then return {{head, false}} end

local limit, room = tonumber(ARGV[7]), tonumber(ARGV[8])
local most = limit + #changed / 2
local command = ARGV[6] == 'REV' and 'ZREVRANGEBYLEX' or 'ZRANGEBYLEX'
local found, keys = redis.call(command, KEYS[3], ARGV[4], ARGV[5], 'LIMIT', '0', most), {{}}
local more = #found == most
for _, key in ipairs(found) do
  if not before[key] then
    if #keys == limit then
      more = true
      break
    end
    keys[#keys + 1] = key
  end
end
local rows, taken = {{}}, 0
for from = 1, #keys, 50 do
  local to = math.min(from + 49, #keys)
  local values = redis.call('HMGET', KEYS[2], unpack(keys, from, to))
  for i = from, to do
    taken = i
    rows[#rows + 1] = keys[i]
    rows[#rows + 1] = values[i - from + 1]
    room = room - #values[i - from + 1]
    if room < 0 then break end
  end
  if room < 0 then break end
end
more = more or taken < #keys
return {{head, more and 1 or 0, rows, changed}}
""")
