/** What becomes of messages that cannot be handled: on a broker they are carried to a place of their own, elsewhere kept here. */
import type { Clock } from '../clock.ts'
import { backoff, type RetryPolicy } from '../core/retry.ts'
import type { OnProblem, Problem } from '../problem.ts'
import { RefusedError, type DeadLetter, type Message } from './transport.ts'
import { pause, settledWithin } from './within.ts'

const again: RetryPolicy = { tries: Infinity, firstMs: 100, factor: 2, maxMs: 5_000, jitter: 0.5 }

/** One message that goes to the dead letters of a broker. */
export interface DeadLetterPassage {
  /** Names of where it came from and where it goes. */
  readonly from: string
  readonly to: string
  /** Undefined where it could not be read. */
  readonly message: Message | undefined
  readonly reason: string
  /** False once the message is not ours any more: the broker hands it out again. */
  readonly isOurs: () => boolean
  /** Publishes it there. @param bare without what came with it, which could not be written */
  readonly send: (bare: boolean) => Promise<void>
  /** It is safe there. */
  readonly done: () => void
}

/** Carries messages to the dead letters, each as often as it takes; one that is not ours any more is left to others. */
export class DeadLetterWriter {
  readonly #clock: Clock
  readonly #report: OnProblem
  readonly #open = new Set<Promise<void>>()
  readonly #stop = new AbortController()

  constructor(clock: Clock, report: OnProblem) {
    this.#clock = clock
    this.#report = report
  }

  write(passage: DeadLetterPassage): void {
    const { from, to, message, reason } = passage
    const what = `A message of ${from} goes to ${to}`
    this.#report({ what, needsPerson: true, deadLetter: true, ...idsOf(message), cause: reason })
    const writing = this.#write(passage).finally(() => this.#open.delete(writing))
    this.#open.add(writing)
  }

  /** Waits for those under way, and then gives them up. */
  async close(withinMs: number): Promise<void> {
    await settledWithin(this.#clock, withinMs, Promise.all(this.#open))
    this.#stop.abort()
  }

  async #write({ from, to, message, isOurs, send, done }: DeadLetterPassage): Promise<void> {
    const { signal } = this.#stop
    let bare = false
    for (let failures = 1; isOurs() && !signal.aborted; failures++) {
      try {
        await send(bare)
        return done()
      } catch (cause) {
        bare ||= cause instanceof RefusedError
        const what = `A message of ${from} waits for its way to ${to}; it is tried again until it is there`
        if (isOurs()) this.#report({ what, needsPerson: false, ...idsOf(message), cause })
      }
      await pause(this.#clock, backoff(again, failures, 0, 0), signal)
    }
  }
}

const idsOf = (message: Message | undefined): Pick<Problem, 'sagaId' | 'messageId'> =>
  message === undefined ? {} : { sagaId: message.correlationId, messageId: message.id }

const kept = 1_000

/** The dead letters of a transport without a broker: the newest thousand. */
export class DeadLetterList {
  readonly #report: OnProblem
  readonly #letters: DeadLetter[] = []

  constructor(report: OnProblem) {
    this.#report = report
  }

  add(channel: string, message: Message, reason: string): void {
    this.#letters.push({ channel, reason, message })
    if (this.#letters.length > kept) this.#letters.shift()
    this.#report({
      what: `${message.type} on ${channel} is given up: it is a dead letter of this process`,
      needsPerson: true,
      deadLetter: true,
      ...idsOf(message),
      cause: reason,
    })
  }

  /** Oldest first. */
  all(): readonly DeadLetter[] {
    return [...this.#letters]
  }
}
