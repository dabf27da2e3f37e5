/** The engine on the workload of `workload.ts`: sagas a second, one alone, with many stored, with many steps. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startEngine, type Engine } from 'ordersaga/engine'
import type { Store } from 'ordersaga/store'
import { postgresStore } from 'ordersaga/stores/postgres'
import { sqliteStore } from 'ordersaga/stores/sqlite'
import { memoryTransport } from 'ordersaga/transports/memory'
import { freshDatabase, postgresUrl } from '../tests/kit/parts.ts'
import { rawPostgres, rawSqlite } from './raw-limit.ts'
import { measure, type Figures } from './run.ts'
import { head, print, row, whole } from './table.ts'
import { answerAtOnce, fiveSteps, input, manySteps } from './workload.ts'

interface Place {
  readonly name: string
  readonly store: () => Store
  /** Moves per second of the bare database, same rows and batches. */
  readonly raw: (sagas: number) => Promise<number>
  readonly close: () => Promise<void>
}

async function withEngine<T>(store: Store, work: (engine: Engine) => Promise<T>): Promise<T> {
  const transport = memoryTransport()
  await answerAtOnce(transport)
  const engine = await startEngine({
    store,
    transport,
    definitions: [fiveSteps, manySteps],
    onProblem: ({ what, cause }) => void process.stderr.write(`${what}: ${String(cause)}\n`),
  })
  try {
    return await work(engine)
  } finally {
    await engine.stop()
    await transport.close()
    await store.close()
  }
}

function figures(place: Place, variant: string, found: Figures): void {
  row([
    place.name,
    variant,
    found.inFlight,
    whole(found.perSecond),
    found.medianMs.toFixed(2),
    found.p99Ms.toFixed(1),
    found.heldMs.toFixed(0),
  ])
}

/** Moves of one saga: the start, and one for each answer. */
const movesOf = { done: 6, undone: 7 }

async function throughput(place: Place, quick: boolean): Promise<void> {
  const scale = quick ? 0.1 : 1
  const runs = [
    [1, 2_000],
    [64, 20_000],
    [256, 40_000],
  ] as const
  const best = await withEngine(place.store(), async (engine) => {
    await measure(engine, fiveSteps, input(false), 'COMPLETED', 64, 2_000) // warms up
    let last = 0
    for (const [variant, refuse] of [
      ['five done', false],
      ['fourth rejects', true],
    ] as const)
      for (const [inFlight, sagas] of runs) {
        const expected = refuse ? 'COMPENSATED' : 'COMPLETED'
        const found = await measure(engine, fiveSteps, input(refuse), expected, inFlight, Math.ceil(sagas * scale))
        figures(place, variant, found)
        if (!refuse && inFlight === 256) last = found.perSecond
      }
    return last
  })
  const raw = await place.raw(Math.ceil(20_000 * scale))
  const share = Math.round((100 * best * movesOf.done) / raw)
  row([
    place.name,
    `raw limit of batches: ${whole(raw)} moves/s`,
    256,
    whole(raw / movesOf.done),
    '',
    '',
    `engine: ${share} % of raw`,
  ])
}

async function flatness(place: Place, quick: boolean): Promise<void> {
  await withEngine(place.store(), async (engine) => {
    const warm = await measure(engine, fiveSteps, input(false), 'COMPLETED', 256, 10_000)
    const empty = await measure(engine, fiveSteps, input(false), 'COMPLETED', 256, 10_000)
    const target = quick ? 20_000 : 200_000
    const heap: number[] = []
    for (let stored = warm.sagas + empty.sagas; stored < target; stored += 20_000) {
      await measure(engine, fiveSteps, input(false), 'COMPLETED', 256, 20_000)
      globalThis.gc?.()
      heap.push(process.memoryUsage().heapUsed / 1e6)
    }
    const full = await measure(engine, fiveSteps, input(false), 'COMPLETED', 256, 10_000)
    const ratio = full.perSecond / empty.perSecond
    row([
      place.name,
      whole(empty.perSecond),
      whole(full.perSecond),
      ratio.toFixed(2),
      `${whole(heap[0] ?? 0)} -> ${whole(heap.at(-1) ?? 0)} MB`,
    ])
  })
}

/** The cost of a step early and late in one long saga. */
async function longSaga(place: Place): Promise<void> {
  await withEngine(place.store(), async (engine) => {
    await measure(engine, manySteps, input(false), 'COMPLETED', 16, 64)
    const { saga } = await engine.start(manySteps, input(false))
    const times: number[] = []
    let last = performance.now()
    for await (const { status } of engine.updates(saga.id)) {
      const now = performance.now()
      times.push(now - last)
      last = now
      if (status === 'COMPLETED') break
    }
    const median = (part: readonly number[]): number => part.toSorted((a, b) => a - b)[part.length >> 1] ?? 0
    const early = median(times.slice(5, 45))
    const late = median(times.slice(-40))
    row([place.name, early.toFixed(3), late.toFixed(3), (late / early).toFixed(2)])
  })
}

async function places(): Promise<readonly Place[]> {
  const folder = await mkdtemp(join(tmpdir(), 'ordersaga-bench-'))
  let files = 0
  const sqlite: Place = {
    name: 'SQLite',
    store: () => sqliteStore({ file: join(folder, `bench-${++files}.db`) }),
    raw: async (sagas) => rawSqlite(join(folder, `raw-${++files}.db`), sagas),
    close: () => rm(folder, { recursive: true }),
  }
  if ((await postgresUrl()) === null) {
    print('PostgreSQL does not answer: left out (npm run services starts it).')
    return [sqlite]
  }
  const database = await freshDatabase()
  let schemas = 0
  const postgres: Place = {
    name: 'PostgreSQL',
    store: () => postgresStore({ connectionString: database.url, schema: `bench_${++schemas}` }),
    raw: (sagas) => rawPostgres(database.url, sagas),
    close: () => database.drop(),
  }
  return [sqlite, postgres]
}

/** PostgreSQL is measured where it answers, in a schema of its own that is dropped afterwards. */
export async function benchEngine(part: 'all' | 'stores' | 'flat', quick: boolean): Promise<void> {
  const all = await places()
  try {
    if (part !== 'flat') {
      head(['store', 'variant', 'in flight', 'sagas/s', 'median ms', 'p99 ms', 'event loop held ms'])
      for (const place of all) await throughput(place, quick)
      print('')
    }
    if (part !== 'stores') {
      head(['store', 'sagas/s, empty', `sagas/s, ${quick ? '20,000' : '200,000'} ended`, 'ratio', 'heap after GC'])
      for (const place of all) await flatness(place, quick)
      print('')
      head(['store', 'a step among the first 45, ms', 'a step among the last 40 of 200, ms', 'ratio'])
      for (const place of all) await longSaga(place)
      print('')
    }
  } finally {
    for (const place of all) await place.close()
  }
}
