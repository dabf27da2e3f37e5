import type { Inbox } from 'ordersaga/inbox'
import { done, handle, participant, rejected } from 'ordersaga/participant'
import { giveBack, pay, reserve } from './saga.ts'

export const shopService = <Tx>(inbox: Inbox<Tx>) =>
  participant<Tx>({
    name: 'shop',
    source: 'shop-service',
    inbox,
    handlers: [
      handle(reserve, async (_tx, { payload }) => done(payload)), // write your own tables with `tx`
      handle(giveBack, async (_tx, { payload }) => done(payload)),
      handle(pay, async (_tx, { payload }) => (payload.item === 'milk' ? done(payload) : rejected('card declined'))),
    ],
  })
