/** One statement per job, plain arguments by position. `S` stands for the quoted schema name. */
import type { Columns } from '../rows.ts'
import { endedStatuses, entryColumns, namesOf, readColumns, sagaColumns } from '../rows.ts'
import { moveColumns, startColumns } from './batch.ts'

/** Rows from one array for each column; the first of them is argument `first`. */
function rows<Item>(alias: string, table: Columns<Item>, first: number): string {
  const args = Object.values(table).map(({ type }, index) => `$${first + index}::${type}[]`)
  return `unnest(${args.join(', ')}) as ${alias}(${namesOf(table)})`
}

/** What a start brings, as the table takes it. */
const sagaValues = Object.keys(sagaColumns).map((name) => (name === 'live' ? 'live = 1' : name))

const columns = readColumns('S.saga_history')

const firstEntry = 1 + Object.keys(moveColumns).length
const firstStart = firstEntry + Object.keys(entryColumns).length
const channel = firstStart + Object.keys(startColumns).length

/**
 * A whole batch in one round trip and one commit: moves, starts, their history, and hints to other processes.
 *
 * A move is written only where `seq` is the one it was decided on, and history only for what was. A start is written
 * only where neither id nor key is known; a rival that commits them in this very moment makes the statement fail as a
 * whole, and it is run again (`on conflict` would need a join to know what it has left out).
 */
export const commit = `
with moved as (
  update S.saga s
  set seq = i.to_seq, state_seq = case when i.state is null then s.state_seq else i.to_seq end, status = i.status, business_key = i.business_key, owner = i.owner,
      live = i.live = 1, updated_at = i.updated_at, stored_at = default
  from ${rows('i', moveColumns, 1)}
  where s.id = i.id and s.seq = i.from_seq
  returning s.id, i.to_seq, i.at, i.input_id, i.events, i.status, i.state
), moved_history as (
  insert into S.saga_history (${namesOf(entryColumns)}, state)
  select id, to_seq, at, input_id, events, status, state from moved
  union all
  select ${namesOf(entryColumns)}, null from ${rows('e', entryColumns, firstEntry)}
  where saga_id in (select id from moved)
), fresh as materialized (
  select * from ${rows('t', startColumns, firstStart)}
  where not exists (select from S.saga s where s.id = t.id) and not exists (select from S.saga s where s.key = t.key)
), started as (
  insert into S.saga (${namesOf(sagaColumns)}) select ${sagaValues.join(', ')} from fresh
), started_history as (
  insert into S.saga_history (${namesOf(entryColumns)}) select id, seq, at, input_id, events, status from fresh
)
select
  (select json_agg(id) from moved) as moved,
  (select json_agg(id) from fresh) as started,
  (select count(pg_notify($${channel}, hint)) from unnest($${channel + 1}::text[]) as hint) as told`

/**
 * One start in a transaction that others may wait for: where id or key is taken, it is left out, and nothing fails.
 */
export const commitIn = `
with given as (
  select * from ${rows('t', startColumns, 1)}
), started as (
  insert into S.saga (${namesOf(sagaColumns)}) select ${sagaValues.join(', ')} from given on conflict do nothing returning id
), started_history as (
  insert into S.saga_history (${namesOf(entryColumns)})
  select id, seq, at, input_id, events, status from given where id in (select id from started)
)
select pg_notify($${1 + Object.keys(startColumns).length}, $${2 + Object.keys(startColumns).length}) from started`

/** Fails outside of a transaction, and takes no more than the start does. */
export const inTransaction = `lock table S.saga in access share mode`

export const holders = `
select id, key, fingerprint from S.saga where id = any($1::text[])
union all
select id, key, fingerprint from S.saga where key = any($2::text[])`

export const load = `select ${columns} from S.saga where id = any($1::text[])`

export const history = `
select ${namesOf(entryColumns)} from S.saga_history where saga_id = $1 and seq > $2 order by seq limit $3`

const entry = Object.keys(entryColumns)
  .map((name) => `h.${name}`)
  .join(', ')

/** The events of sagas, each up to a seq. */
export const earlier = `
select h.saga_id, string_agg(h.events, ',' order by h.seq) as events
from unnest($1::text[], $2::bigint[]) as i(saga_id, seq) join S.saga_history h on h.saga_id = i.saga_id and h.seq <= i.seq
group by h.saga_id`

/**
 * Moves of all sagas after a place: transaction, saga, seq. In one row at least, with where the moves end that have their place
 * for good.
 *
 * Transactions are numbered when they begin to write, and become visible when they commit: one with a lower number may come
 * later. So moves are read only of those below the lowest that still runs: whatever comes later has a higher number. (One that
 * writes for long, anywhere on this server, keeps the moves after it waiting, in here alone.)
 */
export const moves = `
select f.identity, f.ends, m.*
from (select identity, xact_base + pg_snapshot_xmin(pg_current_snapshot())::text::bigint as ends from S.saga_store) f
left join lateral (
  select h.xact, ${entry}, s.definition, s.version, s.business_key
  from (
    (
      select * from S.saga_history where $1::bigint = 0 and xact = 0 and (saga_id, seq) > ($2::text, $3::bigint)
      order by saga_id, seq limit $4
    ) union all (
      select * from S.saga_history where xact > 0 and xact >= $1 and xact < f.ends and (xact, saga_id, seq) > ($1, $2, $3)
      order by xact, saga_id, seq limit $4
    )
    order by xact, saga_id, seq limit $4
  ) h join S.saga s on s.id = h.saga_id
) m on true
order by m.xact, m.saga_id, m.seq`

/** Says that the owner lives and what it runs, on the database's clock, tells whether others live, and forgets those long silent. */
export const heartbeat = `
with beat as (
  insert into S.saga_process (owner, beat_at, runs) values ($1, clock_timestamp(), $2::text[])
  on conflict (owner) do update set beat_at = excluded.beat_at, runs = excluded.runs
), forgotten as (
  delete from S.saga_process where beat_at < clock_timestamp() - interval '1 day' and owner <> $1
)
select exists (
  select from S.saga_process where owner <> $1 and beat_at > clock_timestamp() - interval '30 seconds'
) as others`

/** Removes a heartbeat, and says so: what the owner had is to be taken. */
export const retire = `
with gone as (delete from S.saga_process where owner = $1 returning owner)
select pg_notify($2, $3) from gone`

export const identity = `select identity from S.saga_store`

/** Registrations exclude each other until the end of their transactions. */
export const lock = `select pg_advisory_xact_lock($1)`

export const definitions = `
select definition, version, structure, cancellable from S.saga_definition order by definition, version`

export const keep = `
insert into S.saga_definition (definition, version, structure, cancellable)
select * from unnest($1::text[], $2::int[], $3::text[], $4::boolean[])
on conflict (definition, version) do update set structure = excluded.structure, cancellable = excluded.cancellable`

/** How many sagas, and processes other than the owner, need what is kept of a definition. */
export const needs = `
select (
  select count(*)::int from (
    select definition, version from S.saga where live
    union all
    select definition, version from S.saga where status = 'PARKED' and not live
    union all
    select definition, version from S.saga where status = 'COMPLETED' and not live and $5::boolean
  ) s where definition = $3 and version = $4
) as sagas, (
  select count(*)::int from S.saga_process
  where owner <> $1 and beat_at > clock_timestamp() - $2 * interval '1 millisecond' and $4::int || ':' || $3 = any(runs)
) as processes`

/** Keeps inputs of sagas that exist; those are held, so that none is removed in this very moment and leaves its inputs behind. */
export const hand = `
with given as (
  select s.id, i.input_id, i.input, i.place
  from unnest($1::text[], $2::text[], $3::text[]) with ordinality as i(saga_id, input_id, input, place)
  join S.saga s on s.id = i.saga_id
  for key share of s
), kept as (
  insert into S.saga_handed (saga_id, input_id, input) select id, input_id, input from given order by place
  on conflict do nothing
)
select pg_notify($4, $5)`

/** Versions are given as `version:definition`. */
export const handed = `
select h.saga_id, h.input_id, h.input from S.saga_handed h join S.saga s on s.id = h.saga_id
where s.version || ':' || s.definition = any($1::text[])
order by h.place limit $2`

/** The places of those that are still kept, from 1. */
export const stillHanded = `
select i.place from unnest($1::text[], $2::text[]) with ordinality as i(saga_id, input_id, place)
where exists (select from S.saga_handed h where h.saga_id = i.saga_id and h.input_id = i.input_id)
order by i.place`

export const dropHanded = `
delete from S.saga_handed h using unnest($1::text[], $2::text[]) as i(saga_id, input_id)
where h.saga_id = i.saga_id and h.input_id = i.input_id`

/**
 * Takes live sagas of silent owners, of the versions given. The owners are found by skipping from one to the next in the index, so that the
 * sagas of owners who live are not looked at, however many they are, and neither are those of other versions. They are read by the next statement: this one may take
 * a row that is newer than all else that it sees.
 */
export const claim = `
with recursive owners as (
  (select owner from S.saga where live order by owner limit 1)
  union all
  select (select s.owner from S.saga s where s.live and s.owner > o.owner order by s.owner limit 1)
  from owners o where o.owner is not null
), silent as (
  select o.owner from owners o
  where o.owner <> $1 and not exists (
    select from S.saga_process p
    where p.owner = o.owner and p.beat_at > clock_timestamp() - $2 * interval '1 millisecond'
  )
), free as (
  select s.id from silent o
  cross join unnest($4::text[], $5::int[]) as v(definition, version)
  cross join lateral (
    select id from S.saga
    where live and owner = o.owner and definition collate "C" = v.definition and version = v.version
    limit $3 for update skip locked
  ) s limit $3
)
update S.saga s set owner = $1 from free f where s.id = f.id returning s.id`

export const liveVersions = `
select definition, version, count(*)::int as count from (
  select definition, version from S.saga where live
  union all
  select definition, version from S.saga where status = 'PARKED' and not live
) s group by definition, version order by definition, version`

const latest = `((extract(epoch from now()) * 1000)::bigint - $1::bigint)`

/** How long they are kept, limit. A saga is never moved before it was made: its age in the index says where to look. */
export const old = `
select id from S.saga
where status in ${endedStatuses} and not live and created_at <= ${latest} and updated_at <= ${latest}
  and coalesce(stored_at, 0) <= ${latest}
limit $2 for update skip locked`

/**
 * Sagas that the transaction has locked, with all that is of them. What was handed over or recorded just before the lock is not seen
 * by the statement that takes it, but by this one.
 */
export const remove = `
with old as (
  select id from unnest($1::text[]) as id
), forgotten as (
  delete from S.saga_history h using old where h.saga_id = old.id
), handed as (
  delete from S.saga_handed h using old where h.saga_id = old.id
)
delete from S.saga s using old where s.id = old.id`

export const list = (where: string): string => `select ${columns} from S.saga where ${where}`

export const count = (where: string): string => `select count(*)::int as n from S.saga where ${where}`

/** What a database that takes no writes refuses; it changes nothing. */
export const write = `update S.saga_store set identity = identity where false`

export const littleMemory = `set local work_mem = '64kB'`

/**
 * Within `littleMemory` some 100 kB beside the tables, gone at once: a full disk refuses that, while it may still take an
 * update that fits into its page.
 */
export const room = `select count(*) from generate_series(1, 5000)`
