/** What the outbox promises a service, on either database. */
import { sql, type Migration } from 'kysely'
import type { Message, Transport } from 'ordersaga/transport'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { NewPlace, Place } from '../testing/running.ts'
import type { Sleep } from '../worker.ts'
import { openDatabase, type Database } from './database.ts'
import { outboxMigration, openOutbox, type Outbox, type OutboxTables } from './outbox.ts'

interface Tables extends OutboxTables {
  things: { id: string; version: number }
}

const things: Migration = {
  async up(db) {
    await sql`create table things (id text primary key, version bigint not null)`.execute(db)
  },
}

/** Takes messages, unless told to refuse, to fail after it took them, or to hang. */
class Broker implements Transport {
  readonly taken: Message[] = []
  readonly batches: number[] = []
  tries = 0
  publishing: (messages: readonly Message[]) => Promise<void> = async () => undefined
  losing: () => Promise<void> = async () => undefined

  async publish(channel: string, messages: readonly Message[]): Promise<void> {
    expect(channel).toBe('thing_events')
    this.tries += 1
    await this.publishing(messages)
    this.taken.push(...messages)
    this.batches.push(messages.length)
    await this.losing()
  }
  subscribe = () => Promise.reject(new Error('not used'))
  ready = async () => true
  close = async () => undefined

  get ids(): readonly string[] {
    return this.taken.map(({ id }) => id)
  }
}

const away = () => Promise.reject(new Error('the broker is away'))
const hanging = () => new Promise<never>(() => undefined)

/** Waits that end only when they are told to. */
class Waits {
  readonly #open = new Map<() => void, number>()
  readonly sleep: Sleep = (ms, wake) => {
    this.#open.set(wake, ms)
    return () => void this.#open.delete(wake)
  }
  get ms(): readonly number[] {
    return [...this.#open.values()]
  }
  /** Ends the waits of this length, once there is one. */
  async end(ms: number): Promise<void> {
    await vi.waitFor(() => expect(this.ms).toContain(ms), { timeout: 20_000 })
    for (const [wake, length] of this.#open) {
      if (length !== ms) continue
      this.#open.delete(wake)
      wake()
    }
  }
}

export function outboxContract(name: string, newPlace: NewPlace): void {
  describe(`the outbox on ${name}`, () => {
    let place: Place
    let database: Database<Tables>
    let broker: Broker
    let problems: unknown[]
    let cleanups: (() => Promise<unknown>)[]

    const open = async (): Promise<Database<Tables>> => {
      const migrations = { '001_things': things, '002_outbox': outboxMigration(place.target.kind) }
      const opened = await openDatabase<Tables>(place.target, migrations)
      cleanups.push(() => opened.close())
      return opened
    }
    const openOn = (on = database, transport: Transport = broker, sleep?: Sleep): Outbox<Tables> => {
      const onProblem = (error: unknown): unknown => problems.push(error)
      const outbox = openOutbox({
        database: on,
        transport,
        onProblem,
        ...(sleep === undefined ? {} : { sleep }),
      })
      cleanups.push(() => outbox.stop())
      return outbox
    }
    const start: typeof openOn = (...on) => {
      const outbox = openOn(...on)
      outbox.begin()
      return outbox
    }
    /** Changes a thing and tells of it. */
    const change = (outbox: Outbox<Tables>, id: string): Promise<void> =>
      outbox.transaction(async (tx, tell) => {
        const { version } = await tx
          .insertInto('things')
          .values({ id, version: 1 })
          .onConflict((conflict) => conflict.column('id').doUpdateSet({ version: sql`things.version + 1` }))
          .returning('version')
          .executeTakeFirstOrThrow()
        await tell('thing_events', event(`${id}:${version}`))
      })
    const event = (id: string): Message => ({
      id,
      type: 'thing.changed',
      correlationId: id,
      timestamp: new Date(0).toISOString(),
      payload: { text: 'ü \u0000 😀' },
    })
    const kept = async (): Promise<number> => (await database.db.selectFrom('outbox').select('seq').execute()).length
    const settled = async (messages: number): Promise<void> => {
      await expect.poll(() => new Set(broker.ids).size, { timeout: 30_000 }).toBe(messages)
      await expect.poll(kept, { timeout: 30_000 }).toBe(0)
    }

    beforeEach(async () => {
      broker = new Broker()
      problems = []
      cleanups = []
      place = await newPlace()
      database = await open()
    })
    afterEach(async () => {
      for (const cleanup of cleanups.reverse()) await cleanup()
      await place.remove?.()
    })

    test('before it begins, and once it is stopped, what a transaction tells is only kept', async () => {
      const outbox = openOn()
      await change(outbox, 'a')
      expect([broker.tries, await kept()]).toEqual([0, 1])
      outbox.begin()
      await settled(1)
      await outbox.stop()
      outbox.begin()
      await change(outbox, 'a')
      expect([broker.ids, await kept()]).toEqual([['a:1'], 1])
    })

    test('what a transaction tells is published as it was, at once after the commit, and then removed', async () => {
      const outbox = start(database, broker, new Waits().sleep)
      await change(outbox, 'a')
      await change(outbox, 'a')
      await settled(2)
      expect(broker.taken).toEqual([event('a:1'), event('a:2')])
      expect(problems).toEqual([])
    })

    test('nothing is published before the commit, and nothing at all where the transaction throws', async () => {
      const outbox = start()
      const failing = outbox.transaction(async (tx, tell) => {
        await tell('thing_events', event('never'))
        await tx.insertInto('things').values({ id: 'never', version: 1 }).execute()
        throw new Error('changed its mind')
      })
      await expect(failing).rejects.toThrow('changed its mind')
      await outbox.transaction(async (_tx, tell) => {
        await tell('thing_events', event('late'))
        await new Promise((resolve) => setTimeout(resolve, 20)) // time for one that would publish too early
        expect(broker.tries).toBe(0)
      })
      await settled(1)
      expect(broker.ids).toEqual(['late'])
      expect(await database.db.selectFrom('things').selectAll().execute()).toEqual([])
    })

    test('while the transport is away everything is kept, tried again ever more rarely, then published in order', async () => {
      const waits = new Waits()
      const outbox = start(database, broker, waits.sleep)
      broker.publishing = away
      await change(outbox, 'a')
      for (const pause of [100, 200, 400, 800, 1_600, 3_200, 5_000]) {
        await waits.end(pause)
        await change(outbox, 'a')
      }
      await expect.poll(() => waits.ms).toEqual([5_000])
      // New events did not hurry the tries.
      expect(broker.tries).toBe(8)
      expect(problems).toHaveLength(8)
      expect(await kept()).toBe(8)
      broker.publishing = async () => undefined
      await waits.end(5_000)
      await settled(8)
      expect(broker.ids).toEqual([1, 2, 3, 4, 5, 6, 7, 8].map((version) => `a:${version}`))
      // Carefully at first.
      expect(broker.batches).toEqual([1, 2, 4, 1])
    })

    test('a batch that the transport refuses is published message by message', async () => {
      broker.publishing = (messages) => (messages.length > 1 ? away() : Promise.resolve())
      await start().transaction(async (_tx, tell) => {
        for (const id of ['a', 'b', 'c', 'd']) await tell('thing_events', event(id))
      })
      await settled(4)
      expect(broker.ids).toEqual(['a', 'b', 'c', 'd'])
      expect(broker.batches).toEqual([1, 1, 1, 1])
      expect(problems).not.toEqual([])
    })

    test('a process that ended with events kept is followed by one that publishes them under the same ids', async () => {
      broker.publishing = away
      const first = start()
      await change(first, 'a')
      await change(first, 'b')
      await first.stop()
      await database.close()
      expect(broker.taken).toEqual([])
      broker.publishing = async () => undefined
      database = await open()
      start()
      await settled(2)
      expect(broker.taken).toEqual([event('a:1'), event('b:1')])
    })

    test('one that died between publishing and removing is followed by one that publishes again under the same id', async () => {
      broker.losing = away
      const dying = start(database, broker, () => () => undefined)
      await change(dying, 'a')
      await expect.poll(() => problems).toHaveLength(1)
      await dying.stop()
      broker.losing = async () => undefined
      start()
      await settled(1)
      expect(broker.ids).toEqual(['a:1', 'a:1'])
    })

    test('what another process kept is found without a word from it', async () => {
      const waits = new Waits()
      start(database, broker, waits.sleep)
      await expect.poll(() => waits.ms).toEqual([5_000])
      const message = JSON.stringify(event('foreign'))
      await database.db.insertInto('outbox').values({ channel: 'thing_events', message }).execute()
      await waits.end(5_000)
      await settled(1)
    })

    test('a number that was used never comes again', async () => {
      const numbers: number[] = []
      for (const message of ['{}', '{}', '{}']) {
        const row = await database.db
          .insertInto('outbox')
          .values({ channel: 'thing_events', message })
          .returning('seq')
          .executeTakeFirstOrThrow()
        await database.db.deleteFrom('outbox').execute()
        numbers.push(row.seq)
      }
      expect(new Set(numbers).size).toBe(3)
    })

    test('a message that no transport would take is refused with the change, and holds up nothing', async () => {
      const outbox = start()
      const large = { ...event('large'), payload: 'x'.repeat(1_000_001) }
      await expect(outbox.transaction((_tx, tell) => tell('thing_events', large))).rejects.toThrow('thing.changed has')
      await change(outbox, 'a')
      await settled(1)
    })

    test('a publish that hangs is given up and tried again', async () => {
      const waits = new Waits()
      broker.publishing = hanging
      const outbox = start(database, broker, waits.sleep)
      await change(outbox, 'a')
      await waits.end(60_000)
      broker.publishing = async () => undefined
      await waits.end(100)
      await settled(1)
      expect(problems).toMatchObject([{ message: expect.stringContaining('longer than 60000 ms') }])
    })

    test('stopping lets what is committed out, and does not wait for ever on a transport that hangs', async () => {
      const outbox = start()
      await change(outbox, 'a')
      await outbox.stop()
      expect(broker.ids).toEqual(['a:1'])

      const waits = new Waits()
      broker.publishing = hanging
      const stuck = start(database, broker, waits.sleep)
      await change(stuck, 'b')
      await expect.poll(() => broker.tries).toBe(2)
      const stopping = stuck.stop()
      await waits.end(5_000)
      await stopping
      await database.close()
      database = await open()
      expect(await kept()).toBe(1)
    })

    test('two that publish from one database lose nothing and keep the order of each thing', async () => {
      // On SQLite they share the connection: one process has the file.
      const other = place.target.kind === 'sqlite' ? database : await open()
      const outboxes = [start(), start(other)] as const
      const ids = Array.from({ length: 10 }, (_, index) => `thing-${index}`)
      await Promise.all(
        ids.flatMap((id) =>
          outboxes.map(async (outbox) => {
            for (let round = 0; round < 15; round++) await change(outbox, id)
          }),
        ),
      )
      await settled(300)
      const firstTimes = [...new Set(broker.ids)]
      for (const id of ids) {
        const versions = firstTimes.filter((one) => one.startsWith(`${id}:`)).map((one) => Number(one.split(':')[1]))
        expect(versions).toEqual(Array.from({ length: 30 }, (_, index) => index + 1))
      }
      // Replicas take turns.
      if (place.target.kind === 'postgres') expect(broker.ids).toHaveLength(300)
      expect(problems).toEqual([])
    })
  })
}
