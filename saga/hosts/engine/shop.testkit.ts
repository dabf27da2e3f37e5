/** A small saga, participants that do as they are told, and a clock that is moved by hand: for the engine's tests. */
import { z } from 'zod'
import { participantContract } from '../../declare/contract.ts'
import { defineSaga } from '../../declare/define.ts'
import type { Message, Transport } from '../../transports/transport.ts'
import type { Clock } from '../../clock.ts'

const shop = participantContract('shop', { tombstones: true })
const failure = z.looseObject({ error: z.string() })
const done = z.looseObject({ ref: z.string() })
const command = (type: string) =>
  shop.command(type, {
    payload: z.looseObject({}),
    done: [`${type}.done`, done],
    rejected: [`${type}.refused`, failure],
    safeOnNothing: true,
  })

const Input = z.object({ item: z.string(), quantity: z.int().optional() })

const quick = { tries: 3, firstMs: 100, factor: 2, maxMs: 1000, jitter: 0 }

export const shopSaga = defineSaga('shop', { version: 1, input: Input })
  .step('reserve', {
    do: command('reserve'),
    with: ({ input }) => ({ item: input.item }),
    undo: command('unreserve'),
    undoWith: ({ reply }) => ({ ref: reply?.ref }),
    retry: quick,
    attemptMs: 1000,
  })
  .step('pay', {
    do: command('pay'),
    with: ({ replies }) => ({ reservation: replies.reserve.ref }),
    undo: command('refund'),
    undoWith: () => ({}),
    retry: quick,
    attemptMs: 1000,
  })
  .step('ship', { do: command('ship'), with: () => ({}), retry: quick, attemptMs: 1000 })
  .pivot()
  .end({ cancelDecidedBy: 'reserve', businessKey: ({ input }) => input.item })

type Ask = 'reserve' | 'pay' | 'ship' | 'refund' | 'unreserve'
type Say = 'done' | 'refused' | 'nothing' | 'twice' | 'garbage' | 'wrong saga'

/** Answers each command as `say` tells for its type; what it saw is in `seen`. */
export async function shopkeeper(transport: Transport, say: Partial<Record<Ask, Say>> = {}) {
  const seen: Message[] = []
  await transport.subscribe('shop_commands', 'shop', async (batch) => {
    seen.push(...batch)
    await transport.publish(
      'shop_events',
      batch.flatMap((message) => answers(message, say[message.type as Ask] ?? 'done')),
    )
  })
  return { seen, say, types: () => seen.map((message) => message.type) }
}

function answers(asked: Message, say: Say): Message[] {
  const reply = (type: string, payload: unknown, correlationId = asked.correlationId): Message => ({
    id: `${asked.id}:reply`,
    type,
    correlationId,
    causationId: asked.id,
    timestamp: asked.timestamp,
    payload,
  })
  const good = reply(`${asked.type}.done`, { ref: `${asked.type}-1` })
  switch (say) {
    case 'done':
      return [good]
    case 'refused':
      return [reply(`${asked.type}.refused`, { error: `no ${asked.type}` })]
    case 'twice':
      return [good, good, reply(`${asked.type}.refused`, { error: 'too late' })]
    case 'garbage':
      return [reply(`${asked.type}.done`, { ref: 42 }), good]
    case 'wrong saga':
      return [reply(`${asked.type}.done`, { ref: 'x' }, '01900000-0000-7000-8000-000000000000'), good]
    case 'nothing':
      return []
  }
}

/** Time stands still until it is moved; timers fire as it passes them. */
export function handClock(start = 1_000_000): HandClock {
  let elapsed = 0
  let ahead = start
  const timers = new Set<{ at: number; callback: () => void }>()
  return {
    now: () => elapsed + ahead,
    elapsed: () => elapsed,
    after(ms, callback) {
      const timer = { at: elapsed + Math.max(ms, 0), callback }
      timers.add(timer)
      return { cancel: () => timers.delete(timer) }
    },
    advance(ms) {
      elapsed += ms
      const due = [...timers].filter((timer) => timer.at <= elapsed).toSorted((a, b) => a.at - b.at)
      for (const timer of due) if (timers.delete(timer)) timer.callback()
    },
    jump: (ms) => void (ahead += ms),
  }
}

export interface HandClock extends Clock {
  advance(ms: number): void
  /** The wall clock is set, or the machine has slept: timers and what has elapsed know nothing of it. */
  jump(ms: number): void
}
