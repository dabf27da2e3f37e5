/**
 * What an order may be: what a participant would refuse, or would never answer, is refused here, before anything is begun
 * (docs/wire-contract.md 5.2, 5.4).
 */
import { z } from 'zod'
import { addressPattern, isSameAddress } from '../../shared/auth/caller.ts'
import { HttpError } from '../../shared/http/http-error.ts'
import { centsOf, decimalOf, mostCents, MoneyError, wholeCents } from '../../shared/money/money.ts'
import { paymentMethods } from '../../shop-payment/messages.ts'
import { mostLines, mostQuantity } from '../../stock/messages.ts'
import type { ProductReader } from '../../stock/reader.ts'
import type { OrderOrchestrationInput } from './saga.ts'

/** Foreign participants keep no longer texts, and one that cannot keep its order never answers. */
const longestText = 255
const longestId = 36

const email = (example: string) =>
  z
    .string()
    .max(longestText)
    .refine((text) => addressPattern.test(text), 'it is not an e-mail address such as ada@example.com')
    .meta({ example })

/** What is no number is told of as no whole number; the rest in the words of the schema. */
const wholeNumber = ({ code, input }: { readonly code: string; readonly input?: unknown }): string | undefined =>
  code === 'invalid_type' && typeof input !== 'number'
    ? `Invalid input: expected int, received ${typeof input}`
    : undefined

const Price = z
  .number()
  .min(0, { abort: true })
  .superRefine(wholeCents)
  .meta({ description: 'Must be the price at the Stock Service', example: 12.99 })

export const OrderRequest = z.object({
  user_email: email('customer@example.com').meta({ description: 'That of the token' }),
  vendor_email: email('vendor@example.com'),
  delivery_address: z
    .string()
    .min(1)
    .max(longestText)
    .refine((text) => text.trim() !== '', 'it is empty: say where the order goes')
    .meta({ example: '12 Orchard Road' }),
  description: z.string().max(longestText).nullish().meta({ example: 'Ring twice' }),
  status: z
    .literal('Pending', 'an order begins as Pending: send that, or nothing')
    .nullish()
    .meta({ example: 'Pending' }),
  items: z
    .array(
      z.object({
        product_id: z.string().min(1).max(longestId).meta({ example: '65f000000000000000000001' }),
        quantity: z.int({ error: wholeNumber }).min(1).max(mostQuantity).meta({ example: 2 }),
        unit_price: Price,
      }),
    )
    .min(1)
    .max(mostLines),
  payment_method: z
    .string()
    .max(longestText)
    .meta({ description: paymentMethods.join(', '), example: 'Credit Card' }),
})
export type OrderRequest = z.infer<typeof OrderRequest>

/** @throws HttpError 400 where it cannot be paid like that, or comes to nothing or too much */
export function readOrder(order: OrderRequest): OrderOrchestrationInput {
  const method = paymentMethods.find((one) => one === order.payment_method)
  if (method === undefined) throw new HttpError(400, 'Invalid payment method')
  const items = order.items.map((item) => ({ ...item, unit_price: centsOf(item.unit_price) }))
  const amount = items.reduce((sum, { quantity, unit_price }) => sum + quantity * unit_price, 0)
  if (amount === 0) throw new HttpError(400, 'The order comes to 0.00: there is nothing to pay for.')
  if (amount > mostCents)
    throw new HttpError(400, `The order comes to more than ${decimalOf(mostCents).toFixed(2)}: split it.`)
  return {
    user_email: normal(order.user_email),
    vendor_email: normal(order.vendor_email),
    delivery_address: order.delivery_address,
    description: order.description === '' ? null : (order.description ?? null),
    status: 'Pending',
    items,
    payment_method: method,
    amount,
  }
}

/** What is before the `@` is its owner's to spell. */
function normal(address: string): string {
  const at = address.lastIndexOf('@')
  return address.slice(0, at) + address.slice(at).toLowerCase()
}

/** Products of one order that are asked for at once. */
const atOnce = 8

/** How long all of them may take, in milliseconds. */
const patienceMs = 10_000

/**
 * @throws HttpError 400 for a product that is not there, 409 for one of another price or vendor, 503 where the Stock Service
 * does not tell
 */
export async function checkProducts(
  { items, vendor_email }: OrderOrchestrationInput,
  products: ProductReader,
): Promise<void> {
  const ids = [...new Set(items.map(({ product_id }) => product_id))]
  const known = await offersOf(ids, products)
  for (const { product_id: id, unit_price: sent } of items) {
    const offer = known.get(id)
    if (offer === undefined) throw new HttpError(400, `There is no product ${id}.`)
    const { price, vendor } = offer
    if (price !== sent)
      throw new HttpError(409, `Product ${id} costs ${money(price)}, not ${money(sent)}: order it at its price.`)
    // A foreign inventory may know its vendors by ids, of which nobody here knows whose they are.
    if (vendor !== null && addressPattern.test(vendor) && !isSameAddress(vendor, vendor_email))
      throw new HttpError(409, `Product ${id} is sold by ${vendor}, not by ${vendor_email}: order it from its vendor.`)
  }
}

interface Offer {
  /** In cents. */
  readonly price: number
  readonly vendor: string | null
}

const money = (cents: number): string => decimalOf(cents).toFixed(2)

async function offersOf(ids: readonly string[], products: ProductReader): Promise<ReadonlyMap<string, Offer>> {
  const offers = new Map<string, Offer>()
  const waiting = ids.values()
  let isOver = false
  const askOn = async (): Promise<void> => {
    for (const id of waiting) {
      const product = await products(id)
      if (isOver) return
      if (product === null) continue
      const price = centsOf(product.price, `the price of product ${id}`)
      offers.set(id, { price, vendor: product.vendor })
    }
  }
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error('too many are asked for at once')), patienceMs)
  })
  try {
    await Promise.race([late, Promise.all(Array.from({ length: Math.min(atOnce, ids.length) }, askOn))])
  } catch (error) {
    if (error instanceof MoneyError)
      throw new HttpError(409, `${error.message}: nobody can order it until that is mended at the Stock Service.`)
    throw new HttpError(503, `Prices cannot be looked up now: ${(error as Error).message}`, 5)
  } finally {
    isOver = true
    clearTimeout(timer)
  }
  return offers
}
