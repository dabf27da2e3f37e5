/**
 * What the participants of the Order Orchestration share (docs/wire-contract.md 5.4): a channel for the commands to each, one
 * for all their answers, and what foreign ones, which behave as the originals, leave out.
 *
 * Ours answer every command. The originals answer no rollback and no update, and one that refuses to reduce stock keeps what it
 * took before. Which of them stands there nobody can tell from the wire before it is too late, so it is said by whoever runs
 * the system: each `messages.ts` has its commands as either takes them. A saga that asks ours waits for each confirmation, over
 * every transport. Asked in the foreign way, it goes on as soon as the broker has the command for good, and an answer that
 * comes all the same is read as long as it is waited for, and overlooked later.
 */
import {
  participantContract,
  type CommandContract,
  type ParticipantContract,
  type ParticipantOptions,
} from 'ordersaga/contract'
import { z } from 'zod'
import { asStorable, storableText } from './database/text.ts'

export const orderOrchestrationChannels = {
  stock: 'products_queue',
  payment: 'payment_queue',
  order: 'orders_queue',
  replies: 'orchestration_queue',
} as const

/** What foreign orchestrators send without a transaction. */
export const withoutTransaction = ['update_order_payment_id', 'update_payment_order_id'] as const

/** Who answers: the service of this project, or a foreign one in its place. */
export type Answering = 'ours' | 'foreign'

/**
 * The commands to a participant, as who answers takes them.
 *
 * @param otherwise those that a foreign one takes in another way
 */
export const asEither = <Ours extends object, Otherwise extends Partial<Record<keyof Ours, object>>>(
  ours: Ours,
  otherwise: Otherwise,
) =>
  ({ ours, foreign: { ...ours, ...otherwise } as Omit<Ours, keyof Otherwise> & Otherwise }) satisfies Record<
    Answering,
    object
  >

/** The part that a participant has in the Order Orchestration. */
export const partInOrderOrchestration = (
  participant: string,
  commandChannel: string,
  options: ParticipantOptions = {},
): ParticipantContract =>
  participantContract(participant, {
    tombstones: true,
    ...options,
    commandChannel,
    eventChannel: orderOrchestrationChannels.replies,
  })

const withoutReason = 'it was refused without a reason'

/** A refusal whatever it holds: its status has said it all. */
const Refused = z
  .looseObject({ error: z.string().transform(asStorable).catch(withoutReason) })
  .catch({ error: withoutReason })

/** How a command of this type is refused. */
export const refusalOf = (type: string) => [`${type}.error`, Refused] as const

/** An id that an answer tells; that of a foreign service may be a number. */
export const AnyId = z.union([storableText, z.number().transform(String)])

/** The data of an answer that says nothing besides. */
export const Nothing = z.null().catch(null)

/** An undo as it is asked of one that answers none: sent is as good as done. */
export const unanswered = <Payload, Data, Received, Given>(
  undo: CommandContract<Payload, Data, Received, Given>,
): CommandContract<Payload, Data, Received, Given> => ({ ...undo, answered: false })
