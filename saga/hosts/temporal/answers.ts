/** Brings answers and events from a transport's channels to the sagas of a host: one place for all of its workers. */
import type { SagaDefinition } from '../../core/definition.ts'
import { problemReporter, type OnProblem } from '../../problem.ts'
import { UnavailableError, type Message, type Subscription, type Transport } from '../../transports/transport.ts'
import { EngineError } from '../engine/errors.ts'
import { Registry } from '../engine/registry.ts'
import type { Host } from '../host.ts'

export interface AnswersOptions {
  readonly host: Host
  readonly transport: Transport
  readonly definitions: readonly SagaDefinition[]
  /** Names the subscription; processes that bring answers to the same sagas share it. */
  readonly group: string
  readonly onProblem?: OnProblem
}

/** A message is acknowledged once its saga has it. Closed, it takes nothing more, and finishes what is in hand. */
export async function takeAnswers({
  host,
  transport,
  definitions,
  group,
  onProblem,
}: AnswersOptions): Promise<{ close(): Promise<void> }> {
  const registry = new Registry(definitions, 'takeAnswers')
  const report = problemReporter(onProblem)

  async function take({ id, type, payload, correlationId, causationId }: Message): Promise<void> {
    if (typeof id !== 'string' || typeof type !== 'string')
      return report({
        what: 'a message without an id or a type is left out',
        needsPerson: false,
        messageId: String(id),
      })
    for (const sagaId of registry.sagasOf(type, payload, correlationId))
      await host.deliver({ sagaId, id, type, payload, causationId })
  }

  async function receive(batch: readonly Message[]): Promise<void> {
    try {
      await Promise.all(batch.map(take))
    } catch (error) {
      if (error instanceof EngineError && error.retryable) throw new UnavailableError(error.message)
      throw error
    }
  }

  const subscribing = registry.channels.map((channel) => transport.subscribe(channel, group, receive))
  const subscribed = await Promise.allSettled(subscribing)
  const subscriptions = subscribed.flatMap((each): Subscription[] => (each.status === 'fulfilled' ? [each.value] : []))
  const close = async (): Promise<void> => void (await Promise.all(subscriptions.map((each) => each.close())))
  const failed = subscribed.find((each) => each.status === 'rejected')
  if (failed === undefined) return { close }
  await close()
  throw failed.reason
}
