/**
 * Events that no command asked for, kept in the service's own database until a transport has taken them.
 *
 * Border: who changes something tells of it in the same transaction; publishing is done here alone.
 *
 * Invariants:
 * - an event is there exactly where the change that it tells of is: both commit together or not at all;
 * - at least once: a row is removed only after the transport has taken its message, which keeps its id; whoever dies in
 *   between is followed by one who publishes it again;
 * - in order: told after its change, an event has a higher number than those of earlier changes of the same thing, which
 *   kept this one waiting. Everybody publishes by number and removes only what is published, so leaving repeats aside the
 *   events of one thing come in order, whoever publishes.
 */
import { sql, type Generated, type Migration, type Transaction } from 'kysely'
import type { Message, Transport } from 'ordersaga/transport'
import { openWorker, type Bounded, type Sleep } from '../worker.ts'
import { retryContention, type Database } from './database.ts'

export interface OutboxTables {
  outbox: {
    seq: Generated<number>
    channel: string
    /** JSON. */
    message: string
  }
}

export function outboxMigration(dialect: Database<never>['dialect']): Migration {
  return {
    async up(db) {
      const table = db.schema.createTable('outbox')
      // A number must never come again: whoever has just published the row that had it would remove the new one.
      const numbered =
        dialect === 'sqlite'
          ? table.addColumn('seq', 'integer', (column) => column.primaryKey().autoIncrement())
          : table.addColumn('seq', 'bigserial', (column) => column.primaryKey())
      await numbered
        .addColumn('channel', 'text', (column) => column.notNull())
        .addColumn('message', 'text', (column) => column.notNull())
        .execute()
    },
  }
}

export interface OutboxOptions<S> {
  readonly database: Database<S>
  readonly transport: Transport
  readonly sleep?: Sleep
  /** Told of each time when something could not be published; it is tried again. */
  readonly onProblem: (error: unknown) => void
}

/** Keeps a message for a channel; to be called after the change that it tells of, in the same transaction. */
export type Tell = (channel: string, message: Message) => Promise<void>

export interface Outbox<S> {
  /** Publishes what is kept, and keeps on. Until then everything is only kept. */
  begin(): void
  /** Runs the work in one transaction, again where it lost a race; what it tells is published once that is committed. */
  transaction<T>(work: (tx: Transaction<S>, tell: Tell) => Promise<T>): Promise<T>
  /** Tells within a transaction of somebody else, who then nudges. */
  tellIn(tx: Transaction<S>): Tell
  /** Something was told, and is committed. */
  nudge(): void
  /** Ends after the publishing in hand, which is given up where it hangs: what is kept is published after the next start. */
  stop(): Promise<void>
}

const messagesAtOnce = 100
/** Rows of a process that died are found that late; one's own are published at once. */
const longestPauseMs = 5_000
/** Another replica is publishing: what is not among its rows is looked for again soon. */
const busyPauseMs = 50
/** No transport takes more in one message; a row that none takes would keep all behind it for ever. */
const mostBytes = 1_000_000

/**
 * @example
 * outbox.begin()
 * await outbox.transaction(async (tx, tell) => {
 *   const order = await accept(tx, orderId)
 *   await tell('order_events', orderAccepted(order))
 * })
 */
export function openOutbox<S extends OutboxTables>(options: OutboxOptions<S>): Outbox<S> {
  const { database, transport } = options
  let atOnce = messagesAtOnce

  async function publishKept(bounded: Bounded): Promise<number> {
    const publish: Transport['publish'] = async (channel, messages) => {
      await bounded(`publishing to ${channel}`, () => transport.publish(channel, messages))
      atOnce = Math.min(atOnce * 2, messagesAtOnce)
    }
    try {
      const outcome = await publishWaiting(database, publish, () => atOnce)
      return outcome === 'busy' ? busyPauseMs : longestPauseMs
    } catch (error) {
      // A batch may be too large for a transport that takes each of its messages.
      atOnce = 1
      throw error
    }
  }

  const worker = openWorker({
    look: publishKept,
    longestPauseMs,
    onProblem: options.onProblem,
    ...(options.sleep === undefined ? {} : { sleep: options.sleep }),
  })

  return {
    begin: () => worker.begin(),
    async transaction(work) {
      const result = await retryContention(() => database.db.transaction().execute((tx) => work(tx, this.tellIn(tx))))
      // While a transport is away the pause between the tries is kept: new events must not hurry them.
      worker.nudge()
      return result
    },
    tellIn: (tx) => (channel, message) => keep(tx, channel, message),
    nudge: () => worker.nudge(),
    stop: () => worker.stop(),
  }
}

async function keep<S extends OutboxTables>(tx: Transaction<S>, channel: string, message: Message): Promise<void> {
  const text = JSON.stringify(message)
  const bytes = Buffer.byteLength(text)
  if (bytes > mostBytes) {
    throw new RangeError(`${message.type} has ${bytes} bytes, and no message may have more than ${mostBytes}`)
  }
  await outboxOf(tx).insertInto('outbox').values({ channel, message: text }).execute()
}

/** Publishes until nothing waits, or until another replica turns out to be at it. */
async function publishWaiting<S extends OutboxTables>(
  database: Database<S>,
  publish: Transport['publish'],
  atOnce: () => number,
): Promise<'done' | 'busy'> {
  const db = outboxOf(database.db)
  const first = db.selectFrom('outbox').select('seq').orderBy('seq').limit(1)

  async function publishSome(): Promise<void> {
    const rows = await db.selectFrom('outbox').selectAll().orderBy('seq').limit(atOnce()).execute()
    for (const channel of new Set(rows.map((row) => row.channel))) {
      const some = rows.filter((row) => row.channel === channel)
      await publish(
        channel,
        some.map(({ message }) => JSON.parse(message) as Message),
      )
      const published = some.map(({ seq }) => seq)
      await retryContention(() => db.deleteFrom('outbox').where('seq', 'in', published).execute())
    }
  }

  while ((await first.executeTakeFirst()) !== undefined) {
    if (database.dialect === 'sqlite') await publishSome()
    else if (!(await inTurn(database, publishSome))) return 'busy'
  }
  return 'done'
}

/** The same number for every replica: `outbox` in ASCII. */
const turn = 0x6f75_7462_6f78

/**
 * Lets one replica publish at a time, which spares repeats; no promise rests on it. The lock is a transaction's: it goes
 * with a process that dies, and after a while with one that hangs. The work is done outside that transaction, so that
 * what it has published is removed even then.
 *
 * @returns false where another one is at it
 */
async function inTurn<S>({ db }: Database<S>, work: () => Promise<void>): Promise<boolean> {
  return db.transaction().execute(async (lock) => {
    const { rows } = await sql<{ mine: boolean }>`select pg_try_advisory_xact_lock(${turn}) as mine`.execute(lock)
    if (rows[0]?.mine !== true) return false
    await work()
    return true
  })
}

/** Kysely cannot see through a type parameter that `S` has this table; the constraint on `S` says that it has. */
function outboxOf<S extends OutboxTables>(db: Database<S>['db']): Database<OutboxTables>['db'] {
  return db as unknown as Database<OutboxTables>['db']
}
