import { defineSaga } from 'ordersaga'
import { participantContract } from 'ordersaga/contract'
import { startEngine } from 'ordersaga/engine'
import { done, handle, participant, rejected } from 'ordersaga/participant'
import { memoryInbox } from 'ordersaga/participant/memory-inbox'
import { memoryStore } from 'ordersaga/stores/memory'
import { memoryTransport } from 'ordersaga/transports/memory'
import { z } from 'zod'

const Item = z.object({ item: z.string() })
const shop = participantContract('shop', { tombstones: true })
const reserve = shop.command('reserve', { payload: Item, done: ['reserved', Item] })
const giveBack = shop.command('give_back', { payload: Item, done: ['given_back', Item], safeOnNothing: true })
const refusal = z.object({ error: z.string() })
const pay = shop.command('pay', { payload: Item, done: ['paid', Item], rejected: ['declined', refusal] })

const buy = defineSaga('buy', { version: 1, input: Item })
  .step('reserve', { do: reserve, with: ({ input }) => input, undo: giveBack, undoWith: ({ input }) => input })
  .step('pay', { do: pay, with: ({ replies }) => ({ item: replies.reserve.item }) })
  .pivot() // the point of no return: what comes before it is undone, what comes after it is only retried
  .end()

const transport = memoryTransport() // or httpTransport(...)
await participant({
  name: 'shop',
  source: 'shop-service',
  inbox: memoryInbox(), // or one in your own database
  handlers: [
    handle(reserve, async (_tx, { payload }) => done(payload)),
    handle(giveBack, async (_tx, { payload }) => done(payload)),
    handle(pay, async () => rejected('the card was declined')),
  ],
}).attach(transport)

const engine = await startEngine({ store: memoryStore(), transport, definitions: [buy] }) // or sqliteStore, postgresStore
const { saga } = await engine.start(buy, { item: 'milk' })
const ended = await engine.result(saga.id)
console.log(ended.status, ended.error) // COMPENSATED { step: 'pay', reason: 'the card was declined' }
await engine.stop()
