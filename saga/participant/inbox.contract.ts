/** What an inbox promises the participant kit, wherever it keeps the replies. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { DurableInbox, StoredReply } from './inbox.ts'

type TestedInbox<Tx> = Omit<DurableInbox<Tx>, 'migrate'>

export interface OpenedInbox<Tx> {
  /** With no reply in it. */
  readonly inbox: TestedInbox<Tx>
  /** As if so many milliseconds went by, at most some hours, since the replies were stored. */
  passes(ms: number): Promise<unknown>
  close(): Promise<unknown>
}

const hour = 3_600_000

export function inboxContract<Tx>(name: string, open: () => Promise<OpenedInbox<Tx>>): void {
  describe(`the inbox on ${name}`, () => {
    let opened: OpenedInbox<Tx>
    let inbox: TestedInbox<Tx>
    const reply = (commandId: string, payload: unknown = { order_id: 'o' }): StoredReply => ({
      commandId,
      kind: 'done',
      type: 'order.created',
      payload,
    })
    const save = (...replies: StoredReply[]) => inbox.transaction((tx) => inbox.save(tx, replies))
    const find = (...ids: string[]) => inbox.transaction((tx) => inbox.find(tx, ids))

    beforeAll(async () => {
      opened = await open()
      inbox = opened.inbox
    })
    afterAll(() => opened.close())

    test('a stored reply is found as it was', async () => {
      const odd = reply('odd', { text: 'a\u0000b "ü" 😀 \ud800', list: [1.5, null, { deep: true }] })
      const tombstone: StoredReply = { commandId: 'undone', kind: 'tombstone', type: '', payload: null }
      const bare = { ...reply('bare', 'text'), kind: 'rejected' } as const
      await save(odd, tombstone, bare)
      expect(await find('odd', 'absent')).toEqual([odd])
      expect(await find('undone')).toEqual([tombstone])
      expect(await find('bare')).toEqual([bare])
      expect(await find()).toEqual([])
    })

    test('what a transaction has saved it finds itself', async () => {
      const found = await inbox.transaction(async (tx) => {
        await inbox.save(tx, [reply('own')])
        return inbox.find(tx, ['own'])
      })
      expect(found).toEqual([reply('own')])
    })

    test('a transaction that throws leaves nothing, says why, and the next goes on', async () => {
      const failing = inbox.transaction(async (tx) => {
        await inbox.save(tx, [reply('gone')])
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

    test('a batch larger than one statement could name is kept and found whole', async () => {
      const ids = Array.from({ length: 7_000 }, (_, index) => `many-${index}`)
      await save(...ids.map((id) => reply(id)))
      expect(new Set((await find(...ids)).map(({ commandId }) => commandId))).toEqual(new Set(ids))
    })

    test('replies older than they are kept are removed, a thousand at a time, and younger ones stay', async () => {
      const ids = Array.from({ length: 1_500 }, (_, index) => `old-${index}`)
      await save(...ids.map((id) => reply(id)))
      await opened.passes(2 * hour)
      await save(reply('young'))
      expect(await inbox.removeOld(3 * hour)).toBe(0)
      for (let removed = await inbox.removeOld(hour); removed > 0; removed = await inbox.removeOld(hour))
        expect(removed).toBeLessThanOrEqual(1_000)
      expect(await find(...ids)).toEqual([])
      expect(await find('young')).toEqual([reply('young')])
    })
  })
}
