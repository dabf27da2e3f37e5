/** What the inbox promises the participant kit, on either database. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { StoredReply } from 'ordersaga/inbox'
import type { Database } from './database.ts'
import { kyselyInbox, type InboxTables } from './inbox.ts'
import { startRetention } from './retention.ts'

export function inboxContract(name: string, open: () => Promise<Database<InboxTables>>): void {
  describe(`the inbox on ${name}`, () => {
    let database: Database<InboxTables>
    const inbox = () => kyselyInbox(database)
    const reply = (commandId: string, payload: unknown = { order_id: 'o' }): StoredReply => ({
      commandId,
      kind: 'done',
      type: 'order.created',
      payload,
    })
    const save = (...replies: StoredReply[]) => inbox().transaction((tx) => inbox().save(tx, replies))
    const find = (...ids: string[]) => inbox().transaction((tx) => inbox().find(tx, ids))

    beforeAll(async () => {
      database = await open()
    })
    afterAll(() => database.close())

    test('a stored reply is found as it was', async () => {
      const odd = reply('odd', { text: 'a\u0000b "ü" 😀', list: [1.5, null, { deep: true }] })
      const tombstone: StoredReply = { commandId: 'grave', kind: 'tombstone', type: '', payload: null }
      await save(odd, tombstone)
      expect(await find('odd', 'absent')).toEqual([odd])
      expect(await find('grave')).toEqual([tombstone])
      expect(await find()).toEqual([])
    })

    test('a transaction that throws leaves nothing', async () => {
      const failing = inbox().transaction(async (tx) => {
        await inbox().save(tx, [reply('gone')])
        throw new Error('changed its mind')
      })
      await expect(failing).rejects.toThrow('changed its mind')
      expect(await find('gone')).toEqual([])
    })

    test('a command id that is there already makes saving throw, and nothing of the batch stays', async () => {
      await save(reply('first'))
      await expect(save(reply('second'), reply('first'))).rejects.toThrow()
      expect(await find('second')).toEqual([])
    })

    test('of transactions that answer one command at once exactly one commits', async () => {
      const racers = Array.from({ length: 8 }, (_, racer) => save(reply('raced', { racer })))
      const outcomes = await Promise.allSettled(racers)
      expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
      expect(await find('raced')).toHaveLength(1)
    })

    test('replies are forgotten once they are older than they are kept, and younger ones stay', async () => {
      const day = 86_400_000
      const old = kyselyInbox(database, () => 10 * day)
      const young = kyselyInbox(database, () => 20 * day)
      const ids = Array.from({ length: 2_500 }, (_, index) => `old-${index}`)
      await old.transaction((tx) =>
        old.save(
          tx,
          ids.map((id) => reply(id)),
        ),
      )
      await young.transaction((tx) => young.save(tx, [reply('young')]))
      const problems: unknown[] = []
      const stop = startRetention({
        database,
        retainMs: 10 * day,
        now: () => 20 * day + 1,
        onProblem: (error) => problems.push(error),
      })
      await expect.poll(() => find(...ids), { timeout: 30_000 }).toEqual([])
      await stop()
      expect([await find('young'), problems]).toEqual([[reply('young')], []])
    })

    test('a batch larger than one statement is kept and found whole', async () => {
      const ids = Array.from({ length: 2_500 }, (_, index) => `many-${index}`)
      await save(...ids.map((id) => reply(id)))
      expect(new Set((await find(...ids)).map(({ commandId }) => commandId))).toEqual(new Set(ids))
    })
  })
}
