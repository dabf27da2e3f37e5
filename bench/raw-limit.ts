/**
 * The raw limit: the same rows written in the same batches through the bare drivers, without an engine or a store.
 *
 * A batch is what an engine under load commits: as many starts as sagas end, and one move of each saga that runs. Tables
 * and indexes are those of the stores, durability is the same; the JSON is made beforehand and nothing is read back.
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

/** About 900 bytes, as the state of five steps halfway. */
const stateText = JSON.stringify({ input: { text: 'x'.repeat(480) }, replies: 'r'.repeat(370) })
const eventsText = JSON.stringify([{ type: 'StepDone', step: 'one', reply: { ref: 'r'.repeat(150) } }])

interface Row {
  readonly id: string
  readonly seq: number
}

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

const columns = 'id, definition, version, seq, state, owner, key, fingerprint, business_key, created_at, updated_at'

/** Moves per second on a SQLite file that does not exist yet: WAL, synchronous=FULL, one transaction a batch. */
export function rawSqlite(file: string, sagas: number): number {
  const database = new Libsql(file)
  database.exec('pragma page_size = 8192')
  database.exec('pragma locking_mode = exclusive')
  database.exec('pragma journal_mode = wal')
  database.exec('pragma synchronous = full')
  for (const migration of sqliteTables) database.exec(migration)
  const insert = database.prepare(
    `insert into saga (${columns}, status, live) values (?,'raw',1,?,?,'owner',?,'fingerprint',?,?,?,?,?)`,
  )
  const update = database.prepare(
    `update saga set seq = ?, state = ?, status = ?, business_key = ?, owner = 'owner', live = ?, updated_at = ? where id = ? and seq = ?`,
  )
  const append = database.prepare('insert into saga_history values (?,?,?,?,?)')
  const begin = database.prepare('begin immediate')
  const commit = database.prepare('commit')
  let moved = 0
  const from = performance.now()
  for (const { starts, moves } of batches(sagas)) {
    const at = Date.now()
    begin.run()
    for (const { id } of starts) {
      insert.run(id, 1, stateText, id, id, at, at, 'STARTED', 1)
      append.run(id, 1, at, `start:${id}`, eventsText)
    }
    for (const { id, seq } of moves) {
      const ends = seq === movesPerSaga
      update.run(seq, stateText, ends ? 'COMPLETED' : 'STARTED', id, ends ? 0 : 1, at, id, seq - 1)
      append.run(id, seq, at, `${id}:${seq}`, eventsText)
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
  update raw.saga s set seq = i.seq, state = i.state, status = i.status, business_key = i.id, owner = 'owner', live = i.live = 1, updated_at = i.at
  from unnest($1::text[], $2::int8[], $3::text[], $4::text[], $5::int[], $6::int8[]) as i(id, seq, state, status, live, at)
  where s.id = i.id and s.seq = i.seq - 1
), started as (
  insert into raw.saga (${columns}, status, live)
  select id, 'raw', 1, 1, state, 'owner', id, 'fingerprint', id, at, at, 'STARTED', true
  from unnest($7::text[], $8::text[], $9::int8[]) as t(id, state, at)
)
insert into raw.saga_history
select * from unnest($10::text[], $11::int8[], $12::int8[], $13::text[], $14::text[])`

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
        moves.map(() => stateText),
        moves.map(({ seq }) => (seq === movesPerSaga ? 'COMPLETED' : 'STARTED')),
        moves.map(({ seq }) => (seq === movesPerSaga ? 0 : 1)),
        moves.map(() => at),
        starts.map(({ id }) => id),
        starts.map(() => stateText),
        starts.map(() => at),
        all.map(({ id }) => id),
        all.map(({ seq }) => seq),
        all.map(() => at),
        all.map(({ id, seq }) => `${id}:${seq}`),
        all.map(() => eventsText),
      ],
    })
    moved += starts.length + moves.length
  }
  const seconds = (performance.now() - from) / 1000
  await client.query('drop schema raw cascade')
  await client.end()
  return moved / seconds
}
