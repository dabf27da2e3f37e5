/**
 * Moves messages inside one process, without copying them.
 *
 * Invariants beyond those of every transport (`delivery.ts` has the ones of handing over):
 * - nothing is durable: what waits is gone with the process, and the saga's own repeat under the same id heals it;
 * - `publish` never waits for room. Engine and participants publish while they handle, so with waiting two full channels
 *   would wait for each other for ever. The engine's own queue bounds what is under way; should more than `maxQueued`
 *   messages gather for a group all the same, `publish` rejects, and the sender repeats later.
 */
import type { RetryPolicy } from '../../core/retry.ts'
import { delivery, systemTimer, type Timer } from '../delivery.ts'
import type { DeadLetter, Transport } from '../transport.ts'

export interface MemoryTransportOptions {
  /** Most messages in one batch; 500 where none is given. */
  readonly maxBatch?: number
  /**
   * Most messages that wait for one group; 100,000 where none is given. Of a channel or group without a reader, the newest
   * so many are kept for the one that comes.
   */
  readonly maxQueued?: number
  /** Deliveries of a message that fails; five within about nine seconds where none is given. */
  readonly retry?: RetryPolicy
  readonly timer?: Timer
}

export interface MemoryTransport extends Transport {
  /** Messages whose tries are used up, oldest first; the newest thousand are kept. */
  deadLetters(): readonly DeadLetter[]
}

const defaults = {
  maxBatch: 500,
  maxQueued: 100_000,
  retry: { tries: 5, firstMs: 100, factor: 4, maxMs: 10_000, jitter: 0 },
  timer: systemTimer,
}

const deadLettersKept = 1_000

export function memoryTransport(options: MemoryTransportOptions = {}): MemoryTransport {
  const dead: DeadLetter[] = []
  let state: 'open' | 'closing' | 'closed' = 'open'
  const subscribers = delivery({
    ...defaults,
    ...options,
    onDead(channel, message, reason) {
      dead.push({ channel, reason, message })
      if (dead.length > deadLettersKept) dead.shift()
    },
  })
  const closed = (what: string, channel: string): Error =>
    new Error(`cannot ${what} ${channel}: the in-process transport is closed`)

  return {
    async publish(channel, messages) {
      // While it closes, the handlers in hand still publish their replies.
      if (state === 'closed') throw closed('publish to', channel)
      subscribers.offer(channel, messages)
    },
    async subscribe(channel, group, handler) {
      if (state !== 'open') throw closed('subscribe to', channel)
      return subscribers.subscribe(channel, group, handler)
    },
    ready: async () => state === 'open',
    async close() {
      state = 'closing'
      await subscribers.close()
      state = 'closed'
    },
    deadLetters: () => [...dead],
  }
}
