/**
 * What the server does with sagas, as scripts (`process-scripts.ts` has the rest): each is a whole job in one round trip. `K` stands for the prefix of all keys.
 *
 *   K:version                     of this layout
 *   K:saga:ID                     hash, the saga's row (`columns`)
 *   K:history:ID                  list, the entry of seq 1 first. A stream holds the same in twice the memory and time, and
 *                                 what it has besides (ids, groups) is not needed: an entry's place is its seq
 *   K:moves  K:places             sorted set of moves, SEQ:ID, by their place among those of all sagas; how many places were given
 *   K:keys                        hash, the saga that holds an idempotency key
 *   K:all  K:status:S  K:definition:D  K:status-definition:S:D  K:business:B
 *                                 sorted sets of equal scores, ordered by their members, PLACE_ID: pages and times are ranges
 *   K:ended                       sorted set of ids by when they were stored last, by the server's clock: what may be pruned
 *   K:live:OWNER  K:owners        sets, an owner's live sagas and the owners that have some
 *   K:beats  K:runs               sorted set of owners by their last heartbeat, Unix milliseconds of the server's clock; hash,
 *                                 the versions that each runs (JSON)
 *   K:definitions                 hash, by VERSION:DEFINITION: 1 or 0 (cancellable), then the structure
 *   K:registrations               how often somebody has begun to run other versions, or retired
 *   K:handed:ID                   hash, inputs that are kept for the saga, by their ids
 *   K:handed-to:VERSION:DEFINITION  sorted set of those inputs in the order of their coming, LENGTH:ID and the input's id
 *   K:handings                    how many inputs were kept so far
 *   K:identity                    tells the sagas under this prefix from all others
 *   K:moved                       channel for hints
 *
 * Invariants:
 * - Redis runs a script alone and logs its writes as one transaction: nobody sees, and no crash leaves, half of it. What it
 *   may refuse (no memory, read-only, a broken disk) it refuses at the first write of a script, never later;
 * - indexes are written with the row, never after it, so lists and counts are true at once;
 * - every script but those that count and remove may be run twice: seq makes a move stale, a start finds itself.
 */
import { moveColumns, sagaColumns, startColumns } from './rows.ts'
import { dropAll } from './process-scripts.ts'
import { now, script } from './script.ts'

const columns = Object.keys(sagaColumns)
const place = (name: keyof typeof sagaColumns): number => columns.indexOf(name) + 1

/**
 * A saga's row in the order of `sagaColumns`, then its id and the entries of its history since the state was kept; nil where
 * there is none. Until version 2 the whole state was kept with each move, as `state`: such a row becomes a new one when it moves.
 */
const readRow = `
local function readRow(id)
  local row = call('HMGET', K .. ':saga:' .. id, ${columns.map((column) => `'${column}'`).join(', ')}, 'state')
  if not row[1] then return nil end
  if row[${columns.length + 1}] then row[${place('kept')}], row[${place('kept_at')}] = row[${columns.length + 1}], row[${place('seq')}] end
  row[${columns.length + 1}] = id
  row[${columns.length + 2}] = call('LRANGE', K .. ':history:' .. id, tonumber(row[${place('kept_at')}]) or 0, (tonumber(row[${place('seq')}]) or 0) - 1)
  return row
end`

const placeOf = `
local function placeOf(created, id) return string.rep('0', 16 - #created) .. created .. '_' .. id end`

const own = `
local function own(owner, id)
  call('SADD', K .. ':live:' .. owner, id)
  call('SADD', K .. ':owners', owner)
end`

/** Writes once in every way that is used here, so that a missing right shows, and not in the middle of a batch. */
export const probe = script(`
local key = K .. ':probe'
call('HSET', key, 'field', '')
call('HDEL', key, 'field')
call('RPUSH', key, '')
call('DEL', key)
call('ZADD', key, 0, '')
call('ZREM', key, '')
call('SADD', key, '')
call('SREM', key, '')
call('INCR', key)
call('INCRBY', key, 1)
call('DEL', key)
call('PUBLISH', K .. ':moved', '')`)

/**
 * Appends arguments to a history that has so many entries, before all else is written of a saga: where a right to a command was taken
 * while sagas run, a script stops in the middle, and what it left behind the last entry that counts is cut off by the next.
 */
const append = `
local function append(id, length, first, last)
  local key, now = K .. ':history:' .. id, 0
  for n = first, last do now = call('RPUSH', key, ARGV[n]) end
  if now > length + last - first + 1 then
    if length == 0 then call('DEL', key) else call('LTRIM', key, 0, length - 1) end
    for n = first, last do call('RPUSH', key, ARGV[n]) end
  end
end`

/**
 * Gives moves of a saga their places, in their order, before its row is written: a place of a move that did not come about, since a
 * script was stopped in the middle, is passed over, and is given anew where that comes about.
 */
const list = `
local placed, reserved = 0, 0
local function reserve(number)
  placed = call('INCRBY', K .. ':places', number) - number
  reserved = number
end
local function list(id, first, last)
  if last - first >= reserved then reserve(last - first + 1) end
  for seq = first, last do
    placed, reserved = placed + 1, reserved - 1
    call('ZADD', K .. ':moves', placed, seq .. ':' .. id)
  end
end`

const startNames = Object.keys(startColumns)
const moveNames = Object.keys(moveColumns)

/**
 * A batch: starts of `startColumns`, then moves of `moveColumns`, each with its entries. Answers, for each start, 1 or who
 * holds its key or id, and a digit for each move: 1 where it was written, 0 where it was stale.
 */
export const commit = script(
  placeOf,
  own,
  append,
  list,
  now,
  `
local hint, starts, moves = { ARGV[2] }, {}, {}
local at = 6
reserve(tonumber(ARGV[5]))
for n = 1, tonumber(ARGV[3]) do
  local ${startNames.join(', ')} = unpack(ARGV, at, at + ${startNames.length - 1})
  at = at + ${startNames.length}
  local row, holder = K .. ':saga:' .. id, key ~= '' and call('HGET', K .. ':keys', key)
  if not holder and call('EXISTS', row) == 1 then holder = id end
  if holder then
    starts[n] = { holder, call('HGET', K .. ':saga:' .. holder, 'fingerprint') }
  else
    starts[n] = 1
    append(id, 0, at - 1, at - 1)
    list(id, 1, 1)
    call('HSET', row, ${columns.map((column) => `'${column}', ${column}`).join(', ')})
    if key ~= '' then call('HSET', K .. ':keys', key, id) end
    local place = placeOf(created, id)
    call('ZADD', K .. ':all', 0, place)
    call('ZADD', K .. ':definition:' .. definition, 0, place)
    call('ZADD', K .. ':status:' .. status, 0, place)
    call('ZADD', K .. ':status-definition:' .. status .. ':' .. definition, 0, place)
    if business ~= '' then call('ZADD', K .. ':business:' .. business, 0, place) end
    if live == '1' then own(owner, id) end
    if over == '1' then call('ZADD', K .. ':ended', now, id) end
  end
end
for n = 1, tonumber(ARGV[4]) do
  local ${moveNames.join(', ')} = unpack(ARGV, at, at + ${moveNames.length - 1})
  at = at + ${moveNames.length} + entries
  local row = K .. ':saga:' .. id
  local old = call('HMGET', row, 'seq', 'status', 'business', 'owner', 'live', 'state', 'placed')
  if old[1] ~= from then
    moves[n] = '0'
  else
    moves[n] = '1'
    hint[#hint + 1] = id
    append(id, tonumber(from), at - entries, at - 1)
    list(id, (tonumber(old[7]) or 0) + 1, tonumber(to))
    call('HSET', row, 'seq', to, 'updated', updated, 'placed', to)
    if state ~= '' then call('HSET', row, 'kept', state, 'kept_at', to)
    elseif old[6] then call('HSET', row, 'kept', old[6], 'kept_at', from) end
    if old[6] then call('HDEL', row, 'state') end
    if old[2] ~= status or old[3] ~= business then
      local kept = call('HMGET', row, 'definition', 'created')
      local place = placeOf(kept[2], id)
      call('HSET', row, 'status', status, 'business', business)
      call('ZREM', K .. ':status:' .. old[2], place)
      call('ZREM', K .. ':status-definition:' .. old[2] .. ':' .. kept[1], place)
      call('ZADD', K .. ':status:' .. status, 0, place)
      call('ZADD', K .. ':status-definition:' .. status .. ':' .. kept[1], 0, place)
      if old[3] ~= '' then call('ZREM', K .. ':business:' .. old[3], place) end
      if business ~= '' then call('ZADD', K .. ':business:' .. business, 0, place) end
    end
    if old[4] ~= owner or old[5] ~= live then
      call('HSET', row, 'owner', owner, 'live', live)
      if old[5] == '1' then call('SREM', K .. ':live:' .. old[4], id) end
      if live == '1' then own(owner, id) end
    end
    if over == '1' then call('ZADD', K .. ':ended', now, id)
    elseif old[5] == '0' then call('ZREM', K .. ':ended', id) end
  end
end
if #hint > 1 then call('PUBLISH', K .. ':moved', cjson.encode(hint)) end
return { starts, table.concat(moves) }`,
)

export const load = script(
  readRow,
  `
local rows = {}
for n = 2, #ARGV do rows[#rows + 1] = readRow(ARGV[n]) end
return rows`,
)

/** Most members of an index, or live sagas, that one run looks at: others wait for as long as that takes. */
const mostLooked = 5_000

/**
 * Sagas of a filter (definition, status, business; empty where it has none) between two places, newest first, at most so many;
 * with `count`, their number instead. It reads the shortest index that fits and leaves out what other conditions leave out;
 * where that is much, it stops and answers with the place to go on from.
 */
export const find = script(
  readRow,
  `
local definition, status, business, high, low = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local limit, count = tonumber(ARGV[7]), ARGV[8] == 'count'
local index
if status ~= '' and definition ~= '' then index = K .. ':status-definition:' .. status:sub(2) .. ':' .. definition:sub(2)
elseif status ~= '' then index = K .. ':status:' .. status:sub(2)
elseif definition ~= '' then index = K .. ':definition:' .. definition:sub(2)
elseif business == '' then index = K .. ':all' end
local exact = true
if business ~= '' then
  local other = K .. ':business:' .. business
  exact = index == nil
  if exact or call('ZLEXCOUNT', other, low, high) < call('ZLEXCOUNT', index, low, high) then index = other end
end
if count and exact then return { '', call('ZLEXCOUNT', index, low, high) } end
local function matches(id)
  local row = call('HMGET', K .. ':saga:' .. id, 'definition', 'status', 'business')
  return row[1] and (definition == '' or row[1] == definition:sub(2)) and (status == '' or row[2] == status:sub(2))
    and (business == '' or row[3] == business)
end
local portion = math.min(math.max(limit, 100), 2000)
local rows, found, looked, more = {}, 0, 0, true
while more and found < limit and looked < ${mostLooked} do
  local places = call('ZREVRANGEBYLEX', index, high, low, 'LIMIT', 0, portion)
  for _, place in ipairs(places) do
    local id = place:sub(18)
    if exact or matches(id) then
      found = found + 1
      if not count then rows[found] = readRow(id) end
      if found == limit then break end
    end
  end
  looked = looked + #places
  more = #places == portion
  if more then high = '(' .. places[#places] end
end
return { more and found < limit and high or '', count and found or rows }`,
)

/**
 * Goes through the live sagas of owners that are `wanted`, from a place on (an owner, a cursor in its set), until `visit` has
 * enough or so many were looked at that others should have their turn. Answers with the place to go on from; the cursor is
 * empty where there is none.
 * A set that changes meanwhile may show a saga twice, and never leaves one out that was there all the time.
 */
const walkLive = `
local function walkLive(from, cursor, wanted, visit)
  local owners, looked, place = call('SMEMBERS', K .. ':owners'), 0
  table.sort(owners)
  for _, owner in ipairs(owners) do
    if owner >= from and wanted(owner) then
      local at = owner == from and cursor or '0'
      repeat
        place = { owner, at }
        if looked >= ${mostLooked} then return place end
        local found = call('SSCAN', K .. ':live:' .. owner, at, 'COUNT', 250)
        at = found[1]
        for _, id in ipairs(found[2]) do
          looked = looked + 1
          if visit(id, owner, call('HMGET', K .. ':saga:' .. id, 'definition', 'version')) then return place end
        end
      until at == '0'
      if call('EXISTS', K .. ':live:' .. owner) == 0 then call('SREM', K .. ':owners', owner) end
    end
  end
  return { '', '' }
end`

/**
 * Place, owner, silence in milliseconds, limit, then version and definition of what may be taken. The sagas of owners who live
 * are not looked at, however many they are.
 */
export const claim = script(
  now,
  readRow,
  own,
  walkLive,
  `
local heir, silent, limit = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local known, rows = {}, {}
for n = 7, #ARGV do known[ARGV[n]] = true end
local function isSilent(owner)
  local beat = call('ZSCORE', K .. ':beats', owner)
  return owner ~= heir and not (beat and tonumber(beat) > now - silent)
end
local function take(id, owner, row)
  if not (row[1] and row[2] and known[row[2] .. ':' .. row[1]]) then return false end
  if call('SREM', K .. ':live:' .. owner, id) == 0 then return false end
  call('HSET', K .. ':saga:' .. id, 'owner', heir)
  own(heir, id)
  rows[#rows + 1] = readRow(id)
  return #rows == limit
end
local place = walkLive(ARGV[2], ARGV[3], isSilent, take)
return { place[1], place[2], rows }`,
)

/** Counts sagas by definition and version. */
const tally = `
local counts, found = {}, {}
local function add(row)
  if not (row[1] and row[2]) then return end
  local name = row[2] .. ':' .. row[1]
  if not counts[name] then
    counts[name] = { row[1], row[2], 0 }
    found[#found + 1] = counts[name]
  end
  counts[name][3] = counts[name][3] + 1
end`

/** Place. Of the live sagas that one run looks at. */
export const liveVersions = script(
  walkLive,
  tally,
  `
local place = walkLive(ARGV[2], ARGV[3], function() return true end, function(id, owner, row) add(row) end)
return { place[1], place[2], found }`,
)

/**
 * An index and the lower end of a range in it. Of those sagas from which nothing follows by itself, as many as one run looks at,
 * with the lower end of the next; empty at the end.
 */
export const settledVersions = script(
  tally,
  `
local places = call('ZRANGEBYLEX', K .. ':' .. ARGV[2], ARGV[3], '+', 'LIMIT', 0, ${mostLooked})
for _, place in ipairs(places) do
  local row = call('HMGET', K .. ':saga:' .. place:sub(18), 'definition', 'version', 'live')
  if row[3] == '0' then add(row) end
end
return { #places == ${mostLooked} and '(' .. places[#places] or '', found }`,
)

/** Sagas or moves that one run gives places to. */
const mostMoves = 1_000

/** Moves that one run removes. */
const mostRemoved = 5_000

/**
 * Place, limit, an identity to take where there is none yet. Answers with the identity, the last place that was given, where to go
 * on, and moves: of each the saga's id, its entry, and the saga's definition, version and business key.
 * A move is made once its saga's row says so.
 */
export const moves = script(`
local identity = call('GET', K .. ':identity')
if not identity then
  identity = ARGV[4]
  call('SET', K .. ':identity', identity)
end
local found = call('ZRANGEBYSCORE', K .. ':moves', '(' .. ARGV[2], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[3])
local moves = {}
for n = 1, #found, 2 do
  local seq, id = found[n]:match('^(%d+):(.*)$')
  local row = call('HMGET', K .. ':saga:' .. id, 'definition', 'version', 'business', 'seq')
  if row[4] and tonumber(seq) <= tonumber(row[4]) then
    moves[#moves + 1] = { id, call('LINDEX', K .. ':history:' .. id, seq - 1), row[1], row[2], row[3] }
  end
end
return { identity, call('GET', K .. ':places') or '0', found[#found] or ARGV[2], moves }`)

/**
 * Lower end of a range in the index of all sagas. Gives places to moves that were made by a version which gave none, of as many sagas
 * as one run looks at; answers with the lower end of the next, empty at the end.
 */
export const placeOld = script(
  list,
  `
local sagas = call('ZRANGEBYLEX', K .. ':all', ARGV[2], '+', 'LIMIT', 0, ${mostMoves})
local done = 0
for n, place in ipairs(sagas) do
  local id = place:sub(18)
  local row = call('HMGET', K .. ':saga:' .. id, 'seq', 'placed')
  local seq, last = tonumber(row[1]) or 0, tonumber(row[2]) or 0
  if last < seq then
    list(id, last + 1, seq)
    call('HSET', K .. ':saga:' .. id, 'placed', seq)
    done = done + seq - last
  end
  if done >= ${mostMoves} or n == ${mostMoves} then return '(' .. place end
end
return ''`,
)

/** How long they are kept in milliseconds, limit. Answers with how many were removed, and 1 where there may be more: moves, too, are removed no more than one run may. */
export const prune = script(
  placeOf,
  dropAll,
  now,
  `
local ids = call('ZRANGEBYSCORE', K .. ':ended', '-inf', now - ARGV[2], 'LIMIT', 0, ARGV[3])
local removed = 0
for n, id in ipairs(ids) do
  local row = call('HMGET', K .. ':saga:' .. id, 'definition', 'status', 'business', 'key', 'created', 'version', 'seq')
  local seqs = math.max(tonumber(row[7] or 0), call('LLEN', K .. ':history:' .. id))
  for seq = 1, seqs do call('ZREM', K .. ':moves', seq .. ':' .. id) end
  removed = removed + seqs
  local place = placeOf(row[5], id)
  call('ZREM', K .. ':ended', id)
  call('DEL', K .. ':saga:' .. id, K .. ':history:' .. id)
  dropAll(id, row[6], row[1])
  if row[4] ~= '' then call('HDEL', K .. ':keys', row[4]) end
  call('ZREM', K .. ':all', place)
  call('ZREM', K .. ':definition:' .. row[1], place)
  call('ZREM', K .. ':status:' .. row[2], place)
  call('ZREM', K .. ':status-definition:' .. row[2] .. ':' .. row[1], place)
  if row[3] ~= '' then call('ZREM', K .. ':business:' .. row[3], place) end
  if removed >= ${mostRemoved} then return { n, 1 } end
end
return { #ids, #ids == tonumber(ARGV[3]) and 1 or 0 }`,
)
