import { defineSaga } from 'ordersaga'
import { participantContract } from 'ordersaga/contract'
import { z } from 'zod'

const Item = z.object({ item: z.string() })
const Refusal = z.object({ error: z.string() })

const shop = participantContract('shop', { tombstones: true })
export const reserve = shop.command('reserve', { payload: Item, done: ['reserved', Item] })
export const giveBack = shop.command('give_back', { payload: Item, done: ['given_back', Item], safeOnNothing: true })
export const pay = shop.command('pay', { payload: Item, done: ['paid', Item], rejected: ['declined', Refusal] })

export const buy = defineSaga('buy', { version: 1, input: Item })
  .step('reserve', { do: reserve, with: ({ input }) => input, undo: giveBack, undoWith: ({ input }) => input })
  .step('pay', { do: pay, with: ({ replies }) => ({ item: replies.reserve.item }) })
  .pivot() // the point of no return: what comes before it is undone, what comes after it is only retried
  .end()
