/** One statement per job, plain arguments by position. `S` stands for the quoted schema name. */
import { endedStatuses, readColumns, sagaColumns } from '../rows.ts'
import { entryColumnTypes, moveColumnTypes, startColumnTypes } from './batch.ts'

/** Rows from one array for each column; the first of them is argument `first`. */
function rows(alias: string, types: Readonly<Record<string, string>>, first: number): string {
  const names = Object.keys(types)
  const args = Object.values(types).map((type, index) => `$${first + index}::${type}[]`)
  return `unnest(${args.join(', ')}) as ${alias}(${names.join(', ')})`
}

const columns = readColumns('S.saga_history')

const firstEntry = 1 + Object.keys(moveColumnTypes).length
const firstStart = firstEntry + Object.keys(entryColumnTypes).length
const channel = firstStart + Object.keys(startColumnTypes).length

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
      live = i.live = 1, updated_at = i.updated_at
  from ${rows('i', moveColumnTypes, 1)}
  where s.id = i.id and s.seq = i.from_seq
  returning s.id, i.to_seq, i.at, i.input_id, i.events, i.state
), moved_history as (
  insert into S.saga_history (saga_id, seq, at, input_id, events, state)
  select id, to_seq, at, input_id, events, state from moved
  union all
  select e.id, e.seq, e.at, e.input_id, e.events, null from ${rows('e', entryColumnTypes, firstEntry)}
  where e.id in (select id from moved)
), fresh as materialized (
  select * from ${rows('t', startColumnTypes, firstStart)}
  where not exists (select from S.saga s where s.id = t.id) and not exists (select from S.saga s where s.key = t.key)
), started as (
  insert into S.saga (${sagaColumns}, status, live) select ${sagaColumns}, status, live = 1 from fresh
), started_history as (
  insert into S.saga_history (saga_id, seq, at, input_id, events) select id, seq, at, input_id, events from fresh
)
select
  (select json_agg(id) from moved) as moved,
  (select json_agg(id) from fresh) as started,
  (select count(pg_notify($${channel}, hint)) from unnest($${channel + 1}::text[]) as hint) as told`

export const holders = `
select id, key, fingerprint from S.saga where id = any($1::text[])
union all
select id, key, fingerprint from S.saga where key = any($2::text[])`

export const load = `select ${columns} from S.saga where id = any($1::text[])`

export const history = `
select seq, at, input_id, events from S.saga_history where saga_id = $1 and seq > $2 order by seq limit $3`

/** Says that the owner lives, on the database's clock, tells whether others do, and forgets those long silent. */
export const heartbeat = `
with beat as (
  insert into S.saga_process (owner, beat_at) values ($1, clock_timestamp())
  on conflict (owner) do update set beat_at = excluded.beat_at
), forgotten as (
  delete from S.saga_process where beat_at < clock_timestamp() - interval '1 day' and owner <> $1
)
select exists (
  select from S.saga_process where owner <> $1 and beat_at > clock_timestamp() - interval '30 seconds'
) as others`

export const retire = `delete from S.saga_process where owner = $1`

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

/** A saga is never moved before it was made: its age in the index says where to look. */
export const prune = `
with old as (
  select id from S.saga
  where status in ${endedStatuses} and not live and created_at < $1 and updated_at < $1
  limit $2 for update skip locked
), forgotten as (
  delete from S.saga_history h using old where h.saga_id = old.id
), gone as (
  delete from S.saga s using old where s.id = old.id returning s.id
)
select count(*)::int as count from gone`

export const list = (where: string): string => `select ${columns} from S.saga where ${where}`

export const count = (where: string): string => `select count(*)::int as n from S.saga where ${where}`

export const writable = `select current_setting('transaction_read_only') = 'off' as writable`
