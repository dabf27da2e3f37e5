/**
 * Moves messages inside one process, without copying them.
 *
 * Invariants beyond those of every transport (`delivery.ts` has the ones of handing over):
 * - nothing is durable: what waits is gone with the process, and the saga's own repeat under the same id heals it;
 * - `publish` never waits for room. Engine and participants publish while they handle, so with waiting two full channels
 *   would wait for each other for ever. The engine's own queue bounds what is under way; should more than `maxQueued`
 *   messages gather for a group all the same, `publish` rejects, and the sender repeats later.
 */
import { systemClock, type Clock } from '../../clock.ts'
import type { RetryPolicy } from '../../core/retry.ts'
import { problemReporter, type OnProblem } from '../../problem.ts'
import { DeadLetterList } from '../dead-letters.ts'
import { delivery } from '../delivery.ts'
import { Lifecycle } from '../lifecycle.ts'
import { readOptions } from '../options.ts'
import type { DeadLetter, Transport } from '../transport.ts'
import { UnreadChannels } from '../unread-channels.ts'

export interface MemoryTransportOptions {
  /** Most messages in one batch; 500 where none is given. */
  readonly maxBatch?: number
  /** Most messages that wait for one group; 100,000 where none is given. Of a group without a reader, the newest. */
  readonly maxQueued?: number
  /** Of each channel, so many of the newest messages are kept for groups that come later; 10,000 where none is given. */
  readonly historyPerChannel?: number
  /** Deliveries of a message that fails; five within about nine seconds where none is given. */
  readonly retry?: Partial<RetryPolicy>
  readonly clock?: Clock
  /** Hears of dead letters and of channels that nobody reads. Without it, what needs a person goes to stderr. */
  readonly onProblem?: OnProblem
}

export interface MemoryTransport extends Transport {
  /** Messages whose tries are used up, oldest first; the newest thousand are kept. */
  deadLetters(): readonly DeadLetter[]
}

const defaults = {
  maxBatch: 500,
  maxQueued: 100_000,
  historyPerChannel: 10_000,
  retry: { tries: 5, firstMs: 100, factor: 4, maxMs: 10_000, jitter: 0 },
  clock: systemClock,
}

/** @throws TypeError for an option that is unknown, or that no value fits */
export function memoryTransport(given: MemoryTransportOptions = {}): MemoryTransport {
  const options = readOptions('memoryTransport', given, defaults, {
    maxBatch: 'count',
    maxQueued: 'count',
    historyPerChannel: 'countOrNone',
    retry: 'retry',
    clock: 'clock',
    onProblem: 'hook',
  })
  const report = problemReporter(options.onProblem)
  const dead = new DeadLetterList(report)
  const lifecycle = new Lifecycle('in-process')
  const subscribers = delivery({
    ...options,
    unread: new UnreadChannels(options.clock, report),
    onDead: (channel, message, reason) => dead.add(channel, message, reason),
  })

  return {
    async publish(channel, messages) {
      lifecycle.checkPublish(channel, messages)
      subscribers.offer(channel, messages)
    },
    async subscribe(channel, group, handler) {
      lifecycle.checkSubscribe(channel, group, handler)
      return subscribers.subscribe(channel, group, handler)
    },
    ready: async () => lifecycle.open,
    close: () =>
      lifecycle.close(
        () => subscribers.close(),
        async () => undefined,
      ),
    deadLetters: () => dead.all(),
  }
}
