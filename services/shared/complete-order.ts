/**
 * What the participants of the Complete Order saga share (docs/wire-contract.md 2.4): one channel for the commands to all of
 * them, one for their answers, and how a command is refused there.
 *
 * A refusal is of what is outstanding. Who sends it need not be ours, and says `complete_order_failed` or, of a release alone,
 * `payment.release_failed`.
 */
import { participantContract, type ParticipantContract, type ReplyMessage } from 'ordersaga/contract'
import { z } from 'zod'
import { asStorable } from './database/text.ts'

export const completeOrderChannels = { commands: 'complete_order_commands', events: 'complete_order_events' } as const

/** The part that a participant has in the saga. */
export const partInCompleteOrder = (participant: string): ParticipantContract =>
  participantContract(participant, {
    tombstones: true,
    commandChannel: completeOrderChannels.commands,
    eventChannel: completeOrderChannels.events,
  })

const withoutReason = 'it was refused without a reason'

/** A refusal whatever it holds: left unread, it would be waited for without end. Its reason is shown with each event. */
const Refused = z
  .looseObject({ error: z.string().transform(asStorable).catch(withoutReason) })
  .catch({ error: withoutReason })

export const completeOrderFailed = ['complete_order_failed', Refused] as const
export const releaseFailed = ['payment.release_failed', Refused, 'complete_order_failed'] as const

/** False where the answer names another order than the one that was asked about. */
export function speaksOfOrder({ payload }: ReplyMessage, asked: { readonly order_id: string }): boolean {
  const named = (payload as { readonly order_id?: unknown } | null | undefined)?.order_id
  return typeof named !== 'string' || named === asked.order_id
}
