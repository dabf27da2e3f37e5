import { defineSaga } from 'ordersaga'
import { participantContract } from 'ordersaga/contract'
import { z } from 'zod'
import { buy, giveBack, reserve } from './saga.ts'

const Item = z.object({ item: z.string() })
const day = 86_400_000

// Nobody answers these: they are done once the transport has taken them, and repeated while that is not known.
const mail = participantContract('mail', { commandChannel: 'outgoing_mail' })
const sendMail = mail.notice('send_mail', { payload: z.object({ text: z.string() }) })

export const pickup = defineSaga('pickup', { version: 1, input: Item })
  .step('reserve', { do: reserve, with: ({ input }) => input, undo: giveBack, undoWith: ({ input }) => input })
  .wait('pickedUp', { for: { type: 'picked_up', data: z.object({ by: z.string() }) }, withinMs: 3 * day })
  .step('mail', { do: sendMail, with: ({ replies }) => ({ text: `${replies.pickedUp.by} has it` }) })
  .pivot()
  .end({
    businessKey: ({ input }) => input.item,
    follows: [
      {
        event: { type: 'shop_closed', data: z.object({}) },
        reaction: 'cancel',
        by: 'the shop',
        reason: 'it has closed',
      },
    ],
  })

export const definitions = [buy, pickup]
