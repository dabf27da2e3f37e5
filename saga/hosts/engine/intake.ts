/**
 * Takes in what comes from the participants: answers and events, from the channels of all definitions. A batch is
 * acknowledged when each of its messages is committed, kept for another process, or found to concern nobody here.
 */
import type { Input } from '../../core/decide.ts'
import type { OnProblem } from '../../problem.ts'
import type { Message, Subscription, Transport } from '../../transports/transport.ts'
import { UnavailableError } from '../../transports/transport.ts'
import { EngineError } from './errors.ts'
import type { Handover } from './handover.ts'
import type { Loop } from './loop.ts'
import type { Outcome } from './mover.ts'
import type { Registry } from './registry.ts'

export interface IntakeOptions {
  readonly transport: Transport
  readonly registry: Registry
  readonly loop: Loop
  readonly handover: Handover
  readonly onProblem: OnProblem
}

/** An answer or event on its way to its saga. */
export interface Arrival {
  readonly id: string
  readonly type: string
  readonly payload: unknown
  readonly sagaId: string
  readonly causationId?: string | undefined
}

/** What became of it: `handed` where its saga runs elsewhere, null where there is no such saga. */
export type Arrived = Outcome | 'handed' | null

export class Intake {
  readonly #options: IntakeOptions
  #subscriptions: readonly Subscription[] = []

  constructor(options: IntakeOptions) {
    this.#options = options
  }

  async begin(group: string): Promise<void> {
    const { transport, registry } = this.#options
    const subscribing = registry.channels.map((channel) =>
      transport.subscribe(channel, group, (batch) => this.#receive(batch)),
    )
    // Also where one fails, the others are kept, to be closed.
    const subscribed = await Promise.allSettled(subscribing)
    this.#subscriptions = subscribed.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))
    await Promise.all(subscribing)
  }

  /** The caller has waited for room in the loop. */
  async take({ id, type, payload, sagaId, causationId }: Arrival): Promise<Arrived> {
    const input: Input = { type: 'reply', reply: { id, type, payload, causationId } }
    const { loop, handover } = this.#options
    return new Promise<Arrived>((done, failed) =>
      loop.put({
        sagaId,
        input,
        inputId: id,
        done,
        failed,
        elsewhere: (saga) => done(handover.hand(saga, id, input)),
      }),
    )
  }

  async stop(): Promise<void> {
    await Promise.all(this.#subscriptions.map((subscription) => subscription.close()))
  }

  async #receive(batch: readonly Message[]): Promise<void> {
    await this.#options.loop.room()
    try {
      await Promise.all(batch.map((message) => this.#arrive(message)))
    } catch (error) {
      // Not the messages' fault: they wait for another process, or for this one's restart.
      if (error instanceof EngineError && error.code === 'stopped') throw new UnavailableError(error.message)
      throw error
    }
  }

  /** Types promise nothing about what foreign producers send. */
  async #arrive({ id, type, payload, correlationId, causationId }: Message): Promise<void> {
    if (typeof id !== 'string' || typeof type !== 'string')
      return this.#options.onProblem({
        what: `a message without ${typeof id === 'string' ? 'a type' : 'an id'} is left out`,
        needsPerson: false,
        messageId: String(id),
      })
    // Where it names no saga it is for others.
    const sagas = this.#options.registry.sagasOf(type, payload, correlationId)
    await Promise.all(sagas.map((sagaId) => this.take({ id, type, payload, sagaId, causationId })))
  }
}
