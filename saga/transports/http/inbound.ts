/**
 * Commands that came by HTTP, and who waits for their replies.
 *
 * A command is known here from its coming until every handler has settled it: until then its reply goes into the answer
 * of an open request, or to the address that the command named.
 */
import type { Clock } from '../../clock.ts'
import type { OnProblem } from '../../problem.ts'
import type { Delivery } from '../delivery.ts'
import type { Failure } from '../group.ts'
import type { Message } from '../transport.ts'
import type { AddressBook } from './address-book.ts'
import { accepted, refused, unhandled, type HttpAnswer } from './wire.ts'

interface Waiting {
  replyTo: string | null
  /** Handings over to groups that are not settled. */
  unsettled: number
  /** The requests that are open, each by what answers it. */
  readonly requests: Set<(answer: HttpAnswer) => void>
}

export interface InboundOptions {
  readonly addresses: Pick<AddressBook, 'replyChannel'>
  readonly subscribers: Delivery
  readonly replyWaitMs: number
  readonly clock: Clock
  readonly report: OnProblem
}

export class Inbound {
  readonly #options: InboundOptions
  readonly #commands = new Map<string, Waiting>()

  constructor(options: InboundOptions) {
    this.#options = options
  }

  /**
   * Hands a message to the subscribers. The answer comes with its reply (200), when it is handled without one (200), when
   * it could not be handled (503), or where it is a command when the wait is over (202). Nobody repeats an event whose
   * sender believes that it was taken.
   *
   * @throws QueueFullError
   */
  async handOver(channel: string, message: Message, replyTo: string | null): Promise<HttpAnswer> {
    const waiting = this.#commands.get(message.id) ?? { replyTo, unsettled: 0, requests: new Set() }
    let answer: (answer: HttpAnswer) => void = () => undefined
    let left = 0
    const settled = (failure: Failure | null): void => {
      left--
      this.#forget(message, waiting)
      if (failure !== null) {
        this.#report(channel, message, failure)
        answer(unhandled(failure))
      } else if (left === 0) answer(accepted(200, []))
    }
    left = this.#options.subscribers.offerOne(channel, message, 'once', settled)
    if (left === 0) return refused(404, `nobody here reads ${channel}`)
    waiting.replyTo = replyTo ?? waiting.replyTo
    waiting.unsettled += left
    this.#commands.set(message.id, waiting)
    return new Promise((resolve) => {
      const { addresses, clock, replyWaitMs } = this.#options
      const wait =
        addresses.replyChannel(channel) !== null ? clock.after(replyWaitMs, () => answer(accepted(202, []))) : null
      answer = (content) => {
        // At once, not after the promise: a second reply must not be given to a request that is answered.
        waiting.requests.delete(answer)
        wait?.cancel()
        resolve(content)
      }
      waiting.requests.add(answer)
    })
  }

  /**
   * Answers the requests that are open for the command of this reply; false where there is none.
   *
   * @throws Error where no answer can hold it
   */
  reply(message: Message): boolean {
    const requests = this.#waitingFor(message)?.requests ?? new Set()
    if (requests.size === 0) return false
    const content = accepted(200, [message])
    for (const answer of requests) answer(content)
    return true
  }

  /** Where the command of this reply wants late replies; null where it did not say, or is not known any more. */
  replyTo(message: Message): string | null {
    return this.#waitingFor(message)?.replyTo ?? null
  }

  /** Its sender repeats it, so nobody needs to act. */
  #report(channel: string, { id, type, correlationId }: Message, { reason }: Failure): void {
    const what = `${type} on ${channel} could not be handled`
    this.#options.report({ what, needsPerson: false, sagaId: correlationId, messageId: id, cause: reason })
  }

  #waitingFor(reply: Message): Waiting | undefined {
    return reply.causationId === undefined ? undefined : this.#commands.get(reply.causationId)
  }

  #forget(message: Message, waiting: Waiting): void {
    waiting.unsettled--
    if (waiting.unsettled === 0) this.#commands.delete(message.id)
  }
}
