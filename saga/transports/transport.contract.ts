/**
 * What every transport promises, as tests. A transport that cannot keep a promise names the test and the reason.
 */
import { afterEach, describe, expect, test, vi } from 'vitest'
import type { BatchHandler, DeadLetter, Message, Transport } from './transport.ts'

/** Two ends of one transport: what the sender publishes, the receiver's subscribers get. May be the same object. */
export interface TransportPair {
  readonly sender: Transport
  readonly receiver: Transport
  /** Where messages are found whose tries are used up. */
  deadLetters(): Promise<readonly DeadLetter[]>
  /** Closes both ends and what they stand on. */
  dispose(): Promise<void>
}

/** Gaps by test name, each with its reason. */
export type Gaps = Readonly<Record<string, string>>

export const message = (id: string, more: Partial<Message> = {}): Message => ({
  id,
  type: 'create_order',
  correlationId: `saga-of-${id}`,
  timestamp: '2025-04-08T03:09:11.123Z',
  payload: { n: id },
  ...more,
})

/** A handler that keeps what it got, in batches. */
function reader(act: (batch: readonly Message[]) => ReturnType<BatchHandler> = async () => undefined) {
  const batches: (readonly Message[])[] = []
  return {
    batches,
    /** Ids in the order of their coming, repeats included. */
    ids: (): string[] => batches.flat().map(({ id }) => id),
    handler: (async (batch) => {
      batches.push(batch)
      return act(batch)
    }) satisfies BatchHandler,
  }
}

function gate(): { open(): void; readonly passed: Promise<void> } {
  let open = (): void => undefined
  const passed = new Promise<void>((resolve) => (open = resolve))
  return { open, passed }
}

const until = (assertion: () => void | Promise<void>): Promise<void> =>
  vi.waitFor(assertion, { timeout: 20_000, interval: 2 })

const numbered = (count: number, more: (n: number) => Partial<Message> = () => ({})): Message[] =>
  Array.from({ length: count }, (_, n) => message(`m${n}`, more(n)))

/** @param make a fresh pair with short pauses between tries, and five tries */
export function transportContract(name: string, make: () => Promise<TransportPair>, gaps: Gaps = {}): void {
  const pairs: TransportPair[] = []
  const pair = async (): Promise<TransportPair> => {
    const made = await make()
    pairs.push(made)
    return made
  }
  const fact = (title: string, run: (pair: TransportPair) => Promise<void>): void => {
    const gap = gaps[title]
    if (gap === undefined) test(title, async () => run(await pair()))
    else test.skip(`${title} (gap: ${gap})`)
  }
  const channel = 'order_commands'

  describe(`transport: ${name}`, () => {
    afterEach(async () => {
      await Promise.all(pairs.splice(0).map((made) => made.dispose()))
    })

    fact('a message arrives as it was published', async ({ sender, receiver }) => {
      const read = reader()
      await receiver.subscribe(channel, 'g', read.handler)
      const whole = message('saga/1:créate:do', {
        correlationId: 'order-1744081751',
        causationId: 'c-1',
        undoes: 'saga/1:create:dö',
        source: 'order-service',
        traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00',
        payload: { text: 'ünïcode 訂單 "quoted"\n', nested: { list: [1, null, true, 19.99] }, nothing: null },
      })
      await sender.publish(channel, [whole])
      await until(() => expect(read.batches).toEqual([[whole]]))
    })

    fact('a large message arrives', async ({ sender, receiver }) => {
      const read = reader()
      await receiver.subscribe(channel, 'g', read.handler)
      const large = message('m', { payload: { text: 'x'.repeat(500_000) } })
      await sender.publish(channel, [large])
      await until(() => expect(read.batches).toEqual([[large]]))
    })

    fact('channels do not mix', async ({ sender, receiver }) => {
      const [orders, payments] = [reader(), reader()]
      await receiver.subscribe(channel, 'g', orders.handler)
      await receiver.subscribe('payment_commands', 'g', payments.handler)
      await sender.publish('payment_commands', [message('p')])
      await sender.publish(channel, [message('o')])
      await until(() => expect([orders.ids(), payments.ids()]).toEqual([['o'], ['p']]))
    })

    fact('each group gets every message, subscribers of one group share them', async ({ sender, receiver }) => {
      const [one, two, other] = [reader(), reader(), reader()]
      await receiver.subscribe(channel, 'shared', one.handler)
      await receiver.subscribe(channel, 'shared', two.handler)
      await receiver.subscribe(channel, 'other', other.handler)
      const messages = numbered(100)
      await sender.publish(channel, messages)
      const all = messages.map(({ id }) => id).sort()
      await until(() => {
        expect(other.ids().sort()).toEqual(all)
        expect([...one.ids(), ...two.ids()].sort()).toEqual(all)
      })
    })

    fact('messages of one saga arrive in the order of publishing', async ({ sender, receiver }) => {
      const read = reader()
      await receiver.subscribe(channel, 'g', read.handler)
      const messages = numbered(300, (n) => ({ correlationId: `saga-${n % 7}` }))
      await sender.publish(channel, messages.slice(0, 100))
      await Promise.all([100, 200].map((from) => sender.publish(channel, messages.slice(from, from + 100))))
      await until(() => expect(read.ids()).toHaveLength(300))
      for (let saga = 0; saga < 7; saga++) {
        const numbers = read.ids().map((id) => Number(id.slice(1)))
        const own = numbers.filter((n) => n % 7 === saga)
        expect(own).toEqual([...own].sort((a, b) => a - b))
      }
    })

    fact('messages of one saga are never with two subscribers of a group at once', async ({ sender, receiver }) => {
      const held = new Map<string, number>()
      let together = 0
      const act = async (batch: readonly Message[]): Promise<void> => {
        const sagas = new Set(batch.map(({ correlationId }) => correlationId))
        for (const saga of sagas) {
          held.set(saga, (held.get(saga) ?? 0) + 1)
          together = Math.max(together, held.get(saga) ?? 0)
        }
        await new Promise(setImmediate)
        for (const saga of sagas) held.set(saga, (held.get(saga) ?? 0) - 1)
      }
      const [one, two] = [reader(act), reader(act)]
      await receiver.subscribe(channel, 'g', one.handler)
      await receiver.subscribe(channel, 'g', two.handler)
      for (let turn = 0; turn < 20; turn++) {
        await sender.publish(channel, [
          message(`a${turn}`, { correlationId: 'a' }),
          message(`b${turn}`, { correlationId: 'b' }),
        ])
        await new Promise(setImmediate)
      }
      await until(() => expect(one.ids().length + two.ids().length).toBe(40))
      expect(together).toBe(1)
    })

    fact(
      'no batch comes before the last is settled, and what gathered meanwhile comes together',
      async ({ sender, receiver }) => {
        const slow = gate()
        let running = 0
        let most = 0
        const read = reader(async () => {
          most = Math.max(most, ++running)
          if (read.batches.length === 1) await slow.passed
          running--
        })
        await receiver.subscribe(channel, 'g', read.handler)
        await sender.publish(channel, [message('first')])
        await until(() => expect(read.ids()).toEqual(['first']))
        const messages = numbered(60)
        await sender.publish(channel, messages)
        const other = reader()
        await receiver.subscribe('payment_commands', 'g', other.handler)
        await sender.publish('payment_commands', [message('later')])
        await until(() => expect(other.ids()).toEqual(['later']))
        expect(read.ids()).toEqual(['first'])
        slow.open()
        await until(() => expect(read.ids()).toHaveLength(61))
        expect(most).toBe(1)
        expect(read.batches.length).toBeLessThan(61)
      },
    )

    fact('a message whose handler throws is delivered again', async ({ sender, receiver }) => {
      const read = reader(async () => {
        if (read.batches.length < 3) throw new Error('not yet')
      })
      await receiver.subscribe(channel, 'g', read.handler)
      await sender.publish(channel, [message('m')])
      await until(() => expect(read.ids()).toEqual(['m', 'm', 'm']))
    })

    fact(
      'a message that is named as failed is delivered again, the others of its batch are not',
      async ({ sender, receiver }) => {
        let failures = 0
        const read = reader(async (batch) =>
          batch.filter(({ id }) => id === 'm3' && failures++ < 2).map(({ id }) => ({ messageId: id, reason: 'busy' })),
        )
        await receiver.subscribe(channel, 'g', read.handler)
        await sender.publish(channel, numbered(6))
        await until(() => expect(read.ids().sort()).toEqual(['m0', 'm1', 'm2', 'm3', 'm3', 'm3', 'm4', 'm5']))
      },
    )

    fact('a poison message ends among the dead letters with its reason, and the others go on', async (made) => {
      const read = reader(async (batch) => {
        return batch.filter(({ id }) => id === 'm3').map(({ id }) => ({ messageId: id, reason: 'a bitter pill' }))
      })
      await made.receiver.subscribe(channel, 'g', read.handler)
      await made.sender.publish(channel, numbered(6))
      await until(async () => expect(await made.deadLetters()).toHaveLength(1))
      expect(await made.deadLetters()).toMatchObject([{ channel, message: { id: 'm3' } }])
      expect((await made.deadLetters())[0]?.reason).toContain('a bitter pill')
      await made.sender.publish(channel, [message('after')])
      await until(() => expect(read.ids()).toContain('after'))
      expect(read.ids().filter((id) => id === 'm3')).toHaveLength(5)
      expect(
        read
          .ids()
          .filter((id) => id !== 'm3')
          .sort(),
      ).toEqual(['after', 'm0', 'm1', 'm2', 'm4', 'm5'])
    })

    fact(
      'where one message makes the handler throw for all, the others are handled and only it is given up',
      async (made) => {
        const handled = new Set<string>()
        const first = gate()
        const read = reader(async (batch) => {
          if (read.batches.length === 1) await first.passed
          if (batch.some(({ id }) => id === 'm3')) throw new Error('a bitter pill')
          for (const { id } of batch) handled.add(id)
        })
        await made.receiver.subscribe(channel, 'g', read.handler)
        await made.sender.publish(channel, [message('first')])
        await until(() => expect(read.ids()).toHaveLength(1))
        await made.sender.publish(channel, numbered(6))
        first.open()
        await until(async () => expect(await made.deadLetters()).toHaveLength(1))
        await until(() => expect([...handled].sort()).toEqual(['first', 'm0', 'm1', 'm2', 'm4', 'm5']))
        expect(await made.deadLetters()).toMatchObject([{ channel, message: { id: 'm3' } }])
      },
    )

    fact('a subscriber that comes late gets what was published before', async ({ sender, receiver }) => {
      await sender.publish(
        channel,
        numbered(3, () => ({ correlationId: 'one' })),
      )
      const read = reader()
      await receiver.subscribe(channel, 'g', read.handler)
      await until(() => expect(read.ids()).toEqual(['m0', 'm1', 'm2']))
    })

    fact('a group that comes late gets all that was published before, and what is published then', async (made) => {
      const { sender, receiver } = made
      const messages = numbered(120, (n) => ({ correlationId: `saga-${n % 7}` }))
      const publish = (from: number, to: number): Promise<void> => sender.publish(channel, messages.slice(from, to))
      const [first, second] = [reader(), reader()]
      await publish(0, 40)
      await receiver.subscribe(channel, 'first', first.handler)
      await until(() => expect(new Set(first.ids()).size).toBe(40))
      await publish(40, 80)
      await until(() => expect(new Set(first.ids()).size).toBe(80))
      await receiver.subscribe(channel, 'second', second.handler)
      await publish(80, 120)
      for (const each of [first, second]) {
        await until(() => expect(new Set(each.ids()).size).toBe(120))
        for (let saga = 0; saga < 7; saga++) {
          const own = messages.map(({ id }) => id).filter((_id, n) => n % 7 === saga)
          expect([...new Set(each.ids())].filter((id) => own.includes(id))).toEqual(own)
        }
      }
      expect(await made.deadLetters()).toEqual([])
    })

    fact(
      'a subscription that closes waits for its batch and gets no more; the next of its group does',
      async ({ sender, receiver }) => {
        const slow = gate()
        const [leaving, next] = [reader(() => slow.passed), reader()]
        const subscription = await receiver.subscribe(channel, 'g', leaving.handler)
        await sender.publish(channel, [message('m0')])
        await until(() => expect(leaving.ids()).toEqual(['m0']))
        let closed = false
        const closing = subscription.close().then(() => (closed = true))
        await sender.publish(channel, [message('m1')])
        await new Promise(setImmediate)
        expect(closed).toBe(false)
        slow.open()
        await closing
        await receiver.subscribe(channel, 'g', next.handler)
        await until(() => expect(next.ids()).toEqual(['m1']))
        expect(leaving.ids()).toEqual(['m0'])
      },
    )

    fact(
      'a saga in the hands of a subscriber that leaves goes to no other until it is done',
      async ({ sender, receiver }) => {
        const slow = gate()
        const [leaving, next] = [reader(() => slow.passed), reader()]
        const subscription = await receiver.subscribe(channel, 'g', leaving.handler)
        await sender.publish(channel, [message('m0', { correlationId: 'one' })])
        await until(() => expect(leaving.ids()).toEqual(['m0']))
        const closing = subscription.close()
        await receiver.subscribe(channel, 'g', next.handler)
        await sender.publish(channel, [
          message('m1', { correlationId: 'one' }),
          message('m2', { correlationId: 'two' }),
        ])
        await until(() => expect(next.ids()).toEqual(['m2']))
        slow.open()
        await closing
        await until(() => expect(next.ids()).toEqual(['m2', 'm1']))
      },
    )

    fact('closing waits for the batch in hand', async ({ sender, receiver }) => {
      const slow = gate()
      const read = reader(() => slow.passed)
      await receiver.subscribe(channel, 'g', read.handler)
      await sender.publish(channel, [message('m0')])
      await until(() => expect(read.ids()).toEqual(['m0']))
      let closed = false
      const closing = receiver.close().then(() => (closed = true))
      // A transport that waited for nothing would need as long to leave as others of its kind: twice that is enough.
      for (const other of [await pair(), await pair()]) {
        const idle = reader()
        await other.receiver.subscribe(channel, 'g', idle.handler)
        await other.sender.publish(channel, [message('m1')])
        await until(() => expect(idle.ids()).toEqual(['m1']))
        await other.receiver.close()
      }
      expect(closed).toBe(false)
      slow.open()
      await closing
      expect(read.ids()).toEqual(['m0'])
    })

    fact('a channel, a group and a handler that are none are refused with a sentence', async ({ sender, receiver }) => {
      const given = (value: unknown): string => value as string
      const sentence = /it must be a text that is not empty$/
      for (const name of ['', ' ', undefined, 7].map(given)) {
        await expect(sender.publish(name, [message('m')])).rejects.toThrow(sentence)
        await expect(receiver.subscribe(name, 'g', reader().handler)).rejects.toThrow(sentence)
        await expect(receiver.subscribe(channel, name, reader().handler)).rejects.toThrow(sentence)
      }
      await expect(sender.publish(channel, message('m') as never)).rejects.toThrow('was given no list of messages')
      await expect(receiver.subscribe(channel, 'g', {} as never)).rejects.toThrow('was given no handler')
    })

    fact(
      'it is ready while open; closed, it is not, and publishing and subscribing reject',
      async ({ sender, receiver }) => {
        await until(async () => expect([await sender.ready(), await receiver.ready()]).toEqual([true, true]))
        await Promise.all([sender.close(), receiver.close()])
        expect([await sender.ready(), await receiver.ready()]).toEqual([false, false])
        await expect(sender.publish(channel, [message('m')])).rejects.toThrow('closed')
        await expect(receiver.subscribe(channel, 'g', reader().handler)).rejects.toThrow('closed')
      },
    )
  })
}
