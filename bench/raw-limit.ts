/**
 * The raw limit: the same rows written in the same batches through the bare drivers, without an engine or a store.
 *
 * A batch is what an engine under load commits: as many starts as sagas end, and one move of each saga that runs. Tables
 * and indexes are those of the stores, rows and statements as in the workload, durability is the same; the JSON is made
 * beforehand and nothing is read back.
 */
import Libsql from 'libsql'
import pg from 'pg'
import { v7 as uuidv7 } from 'uuid'
import { migrations as postgresTables } from '../saga/stores/postgres/migrations.ts'
import { migrations as sqliteTables } from '../saga/stores/sqlite/migrations.ts'

/** Moves of one saga, its start included. */
const movesPerSaga = 6
/** Sagas that start with each batch; with those that run, a batch is 6 x 43 = 258 moves. */
const startsPerBatch = 43

/** JSON of as many bytes. */
const json = (bytes: number): string => JSON.stringify({ text: 'x'.repeat(bytes - 11) })

/** As large as in the workload: a saga's whole state is written when it ends. */
const endState = json(2076)
const startEvents = json(760)
const moveEvents = json(360)

interface Row {
  readonly id: string
  readonly seq: number
}

const ends = ({ seq }: Row): boolean => seq === movesPerSaga
const inputOf = ({ id, seq }: Row): string => `${id}:step${seq}:do:reply`

/** Batches that together take `sagas` sagas from their start to their last move. */
function* batches(sagas: number): Generator<{ readonly starts: readonly Row[]; readonly moves: readonly Row[] }> {
  const running: Row[][] = []
  for (let begun = 0; begun < sagas || running.length > 0; begun += startsPerBatch) {
    const starts = begun < sagas ? Array.from({ length: startsPerBatch }, () => ({ id: uuidv7(), seq: 1 })) : []
    const moves = running.flatMap((cohort) => cohort)
    yield { starts, moves: moves.map(({ id, seq }) => ({ id, seq: seq + 1 })) }
    const next = running.map((cohort) => cohort.map(({ id, seq }) => ({ id, seq: seq + 1 })))
    if (starts.length > 0) next.push(starts)
    running.splice(0, running.length, ...next.filter(([first]) => first !== undefined && first.seq < movesPerSaga))
  }
}

const columns = 'id, definition, version, seq, state_seq, owner, fingerprint, created_at, updated_at, status, live'

/** Moves per second on a SQLite file that does not exist yet: WAL, synchronous=FULL, one transaction a batch. */
export function rawSqlite(file: string, sagas: number): number {
  const database = new Libsql(file)
  database.exec('pragma page_size = 8192')
  database.exec('pragma locking_mode = exclusive')
  database.exec('pragma journal_mode = wal')
  database.exec('pragma synchronous = full')
  for (const migration of sqliteTables) database.exec(migration)
  const insert = database.prepare(
    `insert into saga (${columns}) values (?,'five-steps',1,1,0,'owner','',?,?,'STARTED',1)`,
  )
  const update = database.prepare(
    `update saga set seq = ?, state_seq = coalesce(?, state_seq), status = ?, business_key = null, owner = 'owner',
     live = ?, updated_at = ? where id = ? and seq = ?`,
  )
  const append = database.prepare('insert into saga_history values (?,?,?,?,?,?)')
  const begin = database.prepare('begin immediate')
  const commit = database.prepare('commit')
  let moved = 0
  const from = performance.now()
  for (const { starts, moves } of batches(sagas)) {
    const at = Date.now()
    begin.run()
    for (const row of starts) {
      insert.run([row.id, at, at])
      append.run([row.id, 1, at, inputOf(row), startEvents, null])
    }
    for (const row of moves) {
      const { id, seq } = row
      if (ends(row)) update.run([seq, seq, 'COMPLETED', 0, at, id, seq - 1])
      else update.run([seq, null, 'STARTED', 1, at, id, seq - 1])
      append.run([id, seq, at, inputOf(row), moveEvents, ends(row) ? endState : null])
    }
    commit.run()
    moved += starts.length + moves.length
  }
  const seconds = (performance.now() - from) / 1000
  database.close()
  return moved / seconds
}

const batch = `
with moved as (
  update raw.saga s
  set seq = i.seq, state_seq = case when i.live = 1 then s.state_seq else i.seq end, status = i.status,
      business_key = null, owner = 'owner', live = i.live = 1, updated_at = i.at
  from unnest($1::text[], $2::int8[], $3::text[], $4::int[], $5::int8[]) as i(id, seq, status, live, at)
  where s.id = i.id and s.seq = i.seq - 1
), started as (
  insert into raw.saga (${columns})
  select id, 'five-steps', 1, 1, 0, 'owner', '', at, at, 'STARTED', true
  from unnest($6::text[], $7::int8[]) as t(id, at)
)
insert into raw.saga_history
select * from unnest($8::text[], $9::int8[], $10::int8[], $11::text[], $12::text[], $13::text[])`

/** Moves per second on a PostgreSQL database, in the schema `raw`: one statement a batch, as the server is configured. */
export async function rawPostgres(connectionString: string, sagas: number): Promise<number> {
  const client = new pg.Client({
    connectionString,
    options: '-c enable_seqscan=off -c jit=off -c plan_cache_mode=force_generic_plan',
  })
  await client.connect()
  await client.query(`drop schema if exists raw cascade; create schema raw`)
  for (const migration of postgresTables) await client.query(migration.replaceAll('S.', 'raw.'))
  let moved = 0
  const from = performance.now()
  for (const { starts, moves } of batches(sagas)) {
    const at = Date.now()
    const all = [...starts, ...moves]
    await client.query({
      name: 'batch',
      text: batch,
      values: [
        moves.map(({ id }) => id),
        moves.map(({ seq }) => seq),
        moves.map((row) => (ends(row) ? 'COMPLETED' : 'STARTED')),
        moves.map((row) => (ends(row) ? 0 : 1)),
        moves.map(() => at),
        starts.map(({ id }) => id),
        starts.map(() => at),
        all.map(({ id }) => id),
        all.map(({ seq }) => seq),
        all.map(() => at),
        all.map(inputOf),
        all.map(({ seq }) => (seq === 1 ? startEvents : moveEvents)),
        all.map((row) => (ends(row) ? endState : null)),
      ],
    })
    moved += starts.length + moves.length
  }
  const seconds = (performance.now() - from) / 1000
  await client.query('drop schema raw cascade')
  await client.end()
  return moved / seconds
}
