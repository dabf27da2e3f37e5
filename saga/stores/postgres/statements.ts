/** One statement per job, plain arguments by position. `S` stands for the quoted schema name. */

const columns = 'id, definition, version, seq, state, owner, key, fingerprint, business_key, created_at, updated_at'

/**
 * A whole batch in one round trip and one commit: starts, moves, their history, and a hint to other processes.
 * A move is written only where `seq` is the one it was decided on; history is written only for what was.
 */
export const commit = `
with input as (
  select * from unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::boolean[], $9::bigint[], $10::text[])
    as t(id, from_seq, to_seq, state, status, business_key, owner, live, updated_at, entries)
), moved as (
  update S.saga s
  set seq = i.to_seq, state = i.state, status = i.status, business_key = i.business_key, owner = i.owner,
      live = i.live, updated_at = i.updated_at
  from input i where s.id = i.id and s.seq = i.from_seq
  returning s.id, i.entries
), started as (
  insert into S.saga (${columns}, status, live)
  select id, definition, version, seq, state, owner, key, fingerprint, business_key, created_at, updated_at, status, live
  from unnest($11::text[], $12::text[], $13::int[], $14::bigint[], $15::text[], $16::text[], $17::text[], $18::text[], $19::text[], $20::bigint[], $21::bigint[], $22::text[], $23::boolean[])
    as t(id, definition, version, seq, state, owner, key, fingerprint, business_key, created_at, updated_at, status, live)
  on conflict do nothing
  returning id, created_at
), started_history as (
  insert into S.saga_history (saga_id, seq, at, input_id, events)
  select t.id, 1, t.at, t.input_id, t.events
  from unnest($11::text[], $20::bigint[], $24::text[], $25::text[]) as t(id, at, input_id, events)
  where t.id in (select id from started)
), moved_history as (
  insert into S.saga_history (saga_id, seq, at, input_id, events)
  select m.id, e.seq, e.at, e.input_id, e.events
  from moved m cross join lateral json_to_recordset(m.entries::json) as e(seq bigint, at bigint, input_id text, events text)
)
select 'm' as kind, id from moved
union all select 's', id from started
union all select 'n', pg_notify($26, $27)::text where $27 <> ''`

export const holders = `
select id, key, fingerprint from S.saga where id = any($1::text[]) or key = any($2::text[])`

export const load = `select ${columns} from S.saga where id = any($1::text[])`

export const findByKey = `select ${columns} from S.saga where key = $1`

export const history = `
select seq, at, input_id, events from S.saga_history where saga_id = $1 and seq > $2 order by seq limit $3`

/** Says that the owner lives, on the database's clock, and tells whether others do. */
export const heartbeat = `
with beat as (
  insert into S.saga_process (owner, beat_at) values ($1, clock_timestamp())
  on conflict (owner) do update set beat_at = excluded.beat_at
)
select exists (
  select from S.saga_process where owner <> $1 and beat_at > clock_timestamp() - interval '30 seconds'
) as others`

export const retire = `delete from S.saga_process where owner = $1`

/**
 * Takes live sagas of silent owners. The owners are found by skipping from one to the next in the index, so that the
 * sagas of owners who live are not looked at, however many they are.
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
  select s.id from silent o cross join lateral (
    select id from S.saga where live and owner = o.owner order by id limit $3 for update skip locked
  ) s limit $3
)
update S.saga s set owner = $1 from free f where s.id = f.id
returning ${columns
  .split(', ')
  .map((column) => `s.${column}`)
  .join(', ')}`

export const liveVersions = `
select definition, version, count(*)::int as count from S.saga where live or status = 'PARKED'
group by definition, version order by definition, version`

export const prune = `
with old as (
  select id from S.saga where not live and status <> 'PARKED' and updated_at < $1 limit $2 for update skip locked
), forgotten as (
  delete from S.saga_history h using old where h.saga_id = old.id
), gone as (
  delete from S.saga s using old where s.id = old.id returning s.id
)
select count(*)::int as count from gone`

export const list = (where: string): string => `select ${columns} from S.saga where ${where}`

export const count = (where: string): string => `select count(*)::int as n from S.saga where ${where}`
