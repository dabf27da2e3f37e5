/**
 * What processes have to do with each other, as scripts: who lives and runs what, whose structure of a definition is kept, and
 * the inputs that they hand over. The keys are told of in `scripts.ts`.
 */
import { now, script } from './script.ts'

const beat = `
local function beat(owner, runs)
  call('ZADD', K .. ':beats', now, owner)
  call('HSET', K .. ':runs', owner, runs)
end`

/** Owner, what it runs. Forgets who was silent for a day. */
export const heartbeat = script(
  now,
  beat,
  `
beat(ARGV[2], ARGV[3])
for _, owner in ipairs(call('ZRANGEBYSCORE', K .. ':beats', '-inf', now - 86400000)) do
  call('ZREM', K .. ':beats', owner)
  call('HDEL', K .. ':runs', owner)
end`,
)

/** Owner, hint. */
export const retire = script(`
call('HDEL', K .. ':runs', ARGV[2])
call('INCR', K .. ':registrations')
if call('ZREM', K .. ':beats', ARGV[2]) == 1 then call('PUBLISH', K .. ':moved', ARGV[3]) end`)

/**
 * Owner, silence in milliseconds, a count of registrations, then definitions of four arguments: name, structure, whether it is
 * cancellable, and whether no saga needed another structure at that count. Answers with the count now and, for each definition
 * of which another structure is kept: its name, what is kept, how many other processes run it.
 *
 * Sagas are too many to be counted in one run. Whoever starts one runs its version: where nobody has begun to run anything
 * since, nor retired, and nobody else lives who runs the version, there are still none. (Who only tries again counts once: else
 * several who try would keep each other from ever getting through.)
 */
export const register = script(
  now,
  beat,
  `
local owner, silent, seen = ARGV[2], tonumber(ARGV[3]), ARGV[4]
local count = tonumber(call('GET', K .. ':registrations') or 0)
local function othersRunning(name)
  local number = 0
  for _, other in ipairs(call('ZRANGEBYSCORE', K .. ':beats', '(' .. now - silent, '+inf')) do
    local runs = other ~= owner and call('HGET', K .. ':runs', other)
    for _, each in ipairs(runs and cjson.decode(runs) or {}) do
      if each == name then number = number + 1 end
    end
  end
  return number
end
local kept, differing = {}, {}
for at = 5, #ARGV, 4 do
  local name, structure, cancellable, free = unpack(ARGV, at, at + 3)
  local known = call('HGET', K .. ':definitions', name)
  local processes = known and known:sub(2) ~= structure and othersRunning(name)
  if processes and not (processes == 0 and free == '1' and tonumber(seen) == count) then
    differing[#differing + 1] = { name, known, processes }
  else
    call('HSET', K .. ':definitions', name, cancellable .. structure)
    kept[#kept + 1] = name
  end
end
local runs = cjson.encode(kept)
if call('HGET', K .. ':runs', owner) ~= runs then count = call('INCR', K .. ':registrations') end
beat(owner, runs)
return { tostring(count), differing }`,
)

const memberOf = `
local function memberOf(id, input) return #id .. ':' .. id .. input end`

/** Hint, then inputs of three arguments: saga, id, text. Those of sagas that do not exist are dropped. */
export const hand = script(
  memberOf,
  `
for at = 3, #ARGV, 3 do
  local id, input, text = unpack(ARGV, at, at + 2)
  local row = call('HMGET', K .. ':saga:' .. id, 'version', 'definition')
  if row[1] and call('HSETNX', K .. ':handed:' .. id, input, text) == 1 then
    call('ZADD', K .. ':handed-to:' .. row[1] .. ':' .. row[2], call('INCR', K .. ':handings'), memberOf(id, input))
  end
end
call('PUBLISH', K .. ':moved', ARGV[2])`,
)

/** Limit, then versions. Answers with saga, id and text of each input. */
export const handed = script(`
local limit, found, inputs = tonumber(ARGV[2]), {}, {}
for n = 3, #ARGV do
  local members = call('ZRANGE', K .. ':handed-to:' .. ARGV[n], 0, limit - 1, 'WITHSCORES')
  for at = 1, #members, 2 do found[#found + 1] = { tonumber(members[at + 1]), members[at] } end
end
table.sort(found, function(a, b) return a[1] < b[1] end)
for n = 1, math.min(limit, #found) do
  local length, rest = found[n][2]:match('^(%d+):(.*)$')
  local id, input = rest:sub(1, length), rest:sub(length + 1)
  inputs[n] = { id, input, call('HGET', K .. ':handed:' .. id, input) }
end
return inputs`)

/** Inputs of two arguments: saga, id. Answers with a digit for each: 1 where it is still kept. */
export const stillHanded = script(`
local digits = {}
for at = 2, #ARGV, 2 do digits[#digits + 1] = call('HEXISTS', K .. ':handed:' .. ARGV[at], ARGV[at + 1]) end
return table.concat(digits)`)

/** Inputs of two arguments: saga, id. */
export const dropHanded = script(
  memberOf,
  `
for at = 2, #ARGV, 2 do
  local id, input = ARGV[at], ARGV[at + 1]
  if call('HDEL', K .. ':handed:' .. id, input) == 1 then
    local row = call('HMGET', K .. ':saga:' .. id, 'version', 'definition')
    call('ZREM', K .. ':handed-to:' .. row[1] .. ':' .. row[2], memberOf(id, input))
  end
end`,
)

/** Drops what is kept for a saga that is removed. */
export const dropAll = `${memberOf}
local function dropAll(id, version, definition)
  for _, input in ipairs(call('HKEYS', K .. ':handed:' .. id)) do
    call('ZREM', K .. ':handed-to:' .. version .. ':' .. definition, memberOf(id, input))
  end
  call('DEL', K .. ':handed:' .. id)
end`
