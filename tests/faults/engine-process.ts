/**
 * An engine with its participant and its callers, as one process of several on one PostgreSQL; tests start, stop, freeze and
 * kill it. It starts sagas without end, some at a time, and prints a line for what happens:
 *
 *   owner ID        once it runs
 *   started ID      a start was acknowledged
 *   rested          after SIGUSR2: no more sagas are started, and each caller knows how his saga ended
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { defineSaga } from 'ordersaga'
import { participantContract } from 'ordersaga/contract'
import { startEngine } from 'ordersaga/engine'
import { done, handle, participant, rejected, type Handled } from 'ordersaga/participant'
import { StoreError } from 'ordersaga/store'
import { postgresStore } from 'ordersaga/stores/postgres'
import { memoryTransport } from 'ordersaga/transports/memory'
import pg from 'pg'
import { z } from 'zod'
import { createInbox, pgInbox } from './pg-inbox.ts'

const connectionString = process.env['DATABASE_URL'] ?? ''
const heartbeatMs = Number(process.env['HEARTBEAT_MS'])
const atATime = Number(process.env['AT_A_TIME'])

const print = (line: string): void => void process.stdout.write(`${line}\n`)

// --- the saga and its participant ---

const Input = z.object({ declines: z.boolean() })
const shop = participantContract('shop', { tombstones: true })
const command = (type: string) =>
  shop.command(type, {
    payload: Input,
    done: [`${type}.done`, z.object({})],
    rejected: [`${type}.refused`, z.looseObject({ error: z.string() })],
    safeOnNothing: true,
  })
const [reserve, unreserve, pay, refund, confirm] = ['reserve', 'unreserve', 'pay', 'refund', 'confirm'].map(
  command,
) as [
  ReturnType<typeof command>,
  ReturnType<typeof command>,
  ReturnType<typeof command>,
  ReturnType<typeof command>,
  ReturnType<typeof command>,
]

// Tried without end: an outage is not to park a saga here.
const retry = { tries: Infinity, firstMs: 100, factor: 2, maxMs: 1_000, jitter: 0.5 }
const step = { with: ({ input }: { input: z.infer<typeof Input> }) => input, attemptMs: 2_000, retry }
const undone = { undoWith: ({ input }: { input: z.infer<typeof Input> }) => input, undoRetry: retry }

const definition = defineSaga('load', { version: 1, input: Input })
  .step('reserve', { do: reserve, undo: unreserve, ...step, ...undone })
  .step('pay', { do: pay, undo: refund, ...step, ...undone })
  .step('confirm', { do: confirm, ...step })
  .pivot()
  .end()

const undoing: Readonly<Record<string, string>> = { unreserve: 'reserve', refund: 'pay' }

/** Leaves a row for each effect; an undo has one only where its command had. */
function effect(contract: typeof reserve): Handled<pg.PoolClient> {
  return handle(contract, async (client: pg.PoolClient, { sagaId, payload, original }) => {
    if (contract === confirm && payload.declines) return rejected('declined')
    const undoes = undoing[contract.type]
    if (undoes === undefined || original?.kind === 'done')
      await client.query('insert into effect values ($1, $2, $3)', [
        sagaId,
        undoes ?? contract.type,
        undoes === undefined ? 'do' : 'undo',
      ])
    return done({})
  })
}

// --- the process ---

const pool = new pg.Pool({ connectionString, max: 4, idle_in_transaction_session_timeout: 3_000 })
pool.on('error', () => undefined)
pool.on('connect', (client) => void client.on('error', () => undefined))
await createInbox(pool)

const transport = memoryTransport()
await participant({
  name: 'shop',
  source: 'shop-service',
  inbox: pgInbox(pool),
  handlers: [reserve, unreserve, pay, refund, confirm].map(effect),
}).attach(transport)

const engine = await startEngine({
  store: postgresStore({ connectionString }),
  transport,
  definitions: [definition],
  heartbeatMs,
  onProblem: ({ what, cause }) => print(`problem ${what}: ${String(cause)}`),
})
print(`owner ${engine.owner}`)

let resting = false

async function call(): Promise<void> {
  while (!resting) {
    const [input, key] = [{ declines: Math.random() < 0.3 }, randomUUID()]
    const { saga } = await persist(() => engine.start(definition, input, { key }))
    print(`started ${saga.id}`)
    await persist(() => engine.result(saga.id))
  }
}

/** Asks again for as long as the database does not answer. */
async function persist<T>(ask: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== 'unavailable') throw error
      await delay(100)
    }
  }
}

process.on('SIGUSR2', () => void (resting = true))
process.on('SIGTERM', () => {
  engine
    .stop()
    .then(() => pool.end())
    .then(() => process.exit(0))
    .catch(() => process.exit(1))
})
await Promise.all(Array.from({ length: atATime }, call))
print('rested')
