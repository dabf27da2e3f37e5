import { sql } from 'kysely'
import type { Message, Transport } from 'ordersaga/transport'
import { expect, test } from 'vitest'
import { postgresUrl, suiteOn } from '../../../tests/kit/parts.ts'
import { postgresPlace } from '../testing/places.ts'
import { openDatabase } from './database.ts'
import { outboxContract } from './outbox.contract.ts'
import { outboxMigration, openOutbox, type OutboxTables } from './outbox.ts'

const transport = (publish: Transport['publish']): Transport => ({
  publish,
  subscribe: () => Promise.reject(new Error('not used')),
  ready: async () => true,
  close: async () => undefined,
})

const event: Message = { id: 'e', type: 'E', correlationId: 'c', timestamp: new Date(0).toISOString(), payload: null }

suiteOn('PostgreSQL', await postgresUrl(), 'the outbox on a real server', () => {
  outboxContract('PostgreSQL', postgresPlace)

  test('a replica that hangs in the middle of its turn loses it with its connection, and another publishes', async () => {
    const place = await postgresPlace()
    const open = () => openDatabase<OutboxTables>(place.target, { '001_outbox': outboxMigration('postgres') })
    const [hung, well, cutter] = [await open(), await open(), await open()]
    const heard: string[] = []
    const onProblem = (): void => undefined
    let publishing = 0
    let release = (): void => undefined
    const stuck = openOutbox({
      database: hung,
      transport: transport(async () => {
        publishing += 1
        await new Promise<void>((resolve) => (release = resolve))
      }),
      onProblem,
    })
    stuck.begin()
    await stuck.transaction((_tx, tell) => tell('events', event))
    await expect.poll(() => publishing).toBe(1)

    const other = openOutbox({
      database: well,
      transport: transport(async (channel, messages) => void heard.push(channel, ...messages.map(({ id }) => id))),
      onProblem,
    })
    other.begin()
    const cut = sql`select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and state = 'idle in transaction'`
    await expect
      .poll(async () => {
        // Those who only look for their turn are between two transactions when it is not theirs: cut again if hit.
        await cut.execute(cutter.db)
        return heard
      })
      .toEqual(['events', 'e'])
    release()
    await Promise.all([stuck.stop(), other.stop()])
    for (const database of [hung, well, cutter]) await database.close()
    await place.remove?.()
  })
})
