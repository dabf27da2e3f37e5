/**
 * What the Stock Service can be asked over messages, and how it answers (docs/wire-contract.md 5.4).
 */
import { z } from 'zod'
import {
  asEither,
  Nothing,
  orderOrchestrationChannels,
  partInOrderOrchestration,
  refusalOf,
  unanswered,
} from '../shared/order-orchestration.ts'
import { storableText } from '../shared/database/text.ts'

const stock = partInOrderOrchestration('stock', orderOrchestrationChannels.stock)

/** More of one product in one order is a mistake. */
export const mostQuantity = 1_000_000

/** More lines in one order are a mistake. */
export const mostLines = 200

const ReduceStock = z.object({
  products: z
    .array(z.object({ product_id: storableText, quantity: z.int().min(1).max(mostQuantity) }))
    .min(1)
    .max(mostLines)
    .readonly(),
})

/** Takes the products of an order: all of them, or none. */
export const reduceStock = stock.command('reduce_stock', {
  payload: ReduceStock,
  done: ['reduce_stock.success', Nothing],
  rejected: refusalOf('reduce_stock'),
})

/** One that refuses has taken what stands before the product that it lacks: it is to be told to give back, too. */
const foreignReduceStock: typeof reduceStock = { ...reduceStock, rejectedInPart: true }

/**
 * The undo of `reduce_stock`: gives back what was taken in this transaction. A foreign service looks for the transaction's id in
 * here; ours goes by the command that is undone, or by the envelope's.
 */
export const rollbackStock = stock.command('rollback_stock', {
  payload: z
    .object({ transaction_id: storableText.nullish().catch(null) })
    .nullish()
    .catch(null),
  done: ['rollback_stock.success', Nothing],
  rejected: refusalOf('rollback_stock'),
  safeOnNothing: true,
})

/** The commands of a saga. A foreign service answers no rollback. */
export const stockCommands = asEither(
  { reduceStock, rollbackStock },
  { reduceStock: foreignReduceStock, rollbackStock: unanswered(rollbackStock) },
)
