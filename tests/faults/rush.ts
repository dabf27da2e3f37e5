/**
 * A rush of customers for little stock, and what the books must say when it is over: what was sold and what is left is what
 * there was, and every payment has its order or was given back.
 *
 * Each wave of customers wants a product of its own, of which there is a third of what they ask for; some want one of the
 * next wave's besides. Some cards are declined, some answers of the gateway are lost, and some customers change their mind.
 */
import { randomUUID } from 'node:crypto'
import { expect, vi } from 'vitest'
import { firstLookUsers } from '../../services/auth/first-look.ts'
import { call, type Answered } from '../../services/shared/testing/call.ts'
import { insist } from '../../services/shared/testing/insist.ts'
import type { Random } from './random.ts'

export type ShopUrls = Readonly<Record<'shop' | 'stock' | 'order' | 'payment' | 'auth', string>>

interface Line {
  readonly product_id: string
  readonly quantity: number
}

interface Customer {
  readonly email: string
  readonly token: string
}

type Headers = Readonly<Record<string, string>>

const price = 12.99
const cents = 1299

/** Orders that want the same product. */
const wave = 500
/** Of the 800 or so that they want. */
const stock = 250
/** Placed at once; as many may be under way when the next are placed. */
const portion = 250

/** Customers by the part of their address before the `@`, which says how their card behaves; and how many of a hundred. */
const shares = { customer: 83, declined: 12, 'lost-answer': 5 } as const
const cancelled = 0.1

/** A busy service that says so is asked again. */
const asked = (...how: Parameters<typeof call>): Promise<Answered> => insist(() => call(...how))

const patience = { timeout: 300_000, interval: 50 }

export class Rush {
  readonly #urls: ShopUrls
  readonly #random: Random
  readonly #run = randomUUID()
  /** By the saga that was started for it. */
  readonly #ordered = new Map<string, readonly Line[]>()
  #products: readonly string[] = []
  #customers: readonly Customer[] = []
  #placed = 0

  constructor(urls: ShopUrls, random: Random) {
    this.#urls = urls
    this.#random = random
  }

  /** Logs customers in, and puts products on the shelves. */
  async prepare(orders: number): Promise<void> {
    const customers = await Promise.all(Object.keys(shares).map((name) => this.#logIn(`${name}@example.com`)))
    const headers = await this.#asAdministrator()
    this.#customers = Object.values(shares).flatMap((share, index) =>
      Array.from({ length: share }, () => customers[index] ?? expect.fail('a customer is missing')),
    )
    const waves = Math.ceil(orders / wave) + 1
    this.#products = await inPortions(waves, async (n) => {
      const json = { name: `Lamp ${n}`, price, stock, vendor_id: 'v@example.com', description: 'A lamp' }
      const { body } = await asked('POST', `${this.#urls.stock}/product`, { json, headers })
      return (body as { readonly data: { readonly Id: string } }).data.Id
    })
  }

  /** Resolves when all are placed, and the last of them are under way. */
  async order(count: number): Promise<void> {
    const last = this.#placed + count
    while (this.#placed < last) {
      await expect.poll(() => this.#underWay(), patience).toBeLessThan(portion)
      const some = Math.min(portion, last - this.#placed)
      await Promise.all(Array.from({ length: some }, (_none, n) => this.#orderOne(this.#placed + n)))
      this.#placed += some
    }
  }

  /** Nothing is under way any more, and nothing waits for a person. @returns how many ended how */
  async settle(): Promise<Readonly<Record<string, number>>> {
    const url = `${this.#urls.shop}/ops/counts?definition=order-orchestration`
    const counts = async () =>
      ((await asked('GET', url)).body as { readonly counts: Readonly<Record<string, number>> }).counts
    const none = { STARTED: 0, COMPENSATING: 0, CANCELLING: 0, PARKED: 0 }
    await expect.poll(counts, { ...patience, interval: 200 }).toMatchObject(none)
    const ended = Object.entries(await counts()).filter(([, count]) => count > 0)
    expect(ended.reduce((sum, [, count]) => sum + count, 0)).toBe(this.#ordered.size)
    return Object.fromEntries(ended)
  }

  /** At rest only. */
  async audit(): Promise<void> {
    const headers = await this.#asAdministrator()
    const completed = await this.#completed()
    const lines = completed.flatMap((saga) => this.#ordered.get(saga) ?? expect.fail(`nobody placed ${saga}`))
    await this.#auditStock(lines, headers)
    await this.#auditMoney(completed.length, lines.reduce((sum, { quantity }) => sum + quantity, 0) * cents, headers)
  }

  /** Sold and left, product by product, is what there was. */
  async #auditStock(lines: readonly Line[], headers: Headers): Promise<void> {
    const sold = new Map<string, number>()
    for (const { product_id: id, quantity } of lines) sold.set(id, (sold.get(id) ?? 0) + quantity)
    const wrong = await inPortions(this.#products.length, async (n) => {
      const id = this.#products[n] ?? ''
      const { body } = await asked('GET', `${this.#urls.stock}/product/stock/${id}`)
      const { data: left } = body as { readonly data: number }
      return left >= 0 && left + (sold.get(id) ?? 0) === stock ? [] : [{ id, left, sold: sold.get(id) }]
    })
    expect(wrong.flat()).toEqual([])
    expect((await asked('GET', `${this.#urls.stock}/stock/audit`, { headers })).body).toMatchObject({
      ok: true,
      problems: [],
      totals: { sold: lines.reduce((sum, { quantity }) => sum + quantity, 0), held: 0 },
    })
  }

  /** Each order in force has one payment in force, which knows it; of every other payment nothing is kept. */
  async #auditMoney(completed: number, charged: number, headers: Headers): Promise<void> {
    const payments = await this.#all<PaymentBody>(`${this.#urls.payment}/payments`, headers)
    const orders = await this.#all<OrderBody>(`${this.#urls.order}/orders`, headers)
    const paid = payments.filter(({ payment_status: status }) => status === 'Success' || status === 'Pending')
    const inForce = orders.filter(({ status }) => status !== 'Canceled')
    const pairs = (all: readonly (readonly [unknown, unknown])[]): readonly string[] =>
      all.map(([order, payment]) => `${String(order)} ${String(payment)}`).toSorted()
    expect(pairs(paid.map(({ id, order_id: order }) => [order, id]))).toEqual(
      pairs(inForce.map(({ id, payment_id: payment }) => [id, payment])),
    )
    expect(new Set(paid.map(({ order_id: order }) => order)).size).toBe(completed)
    expect(paid.reduce((sum, { amount }) => sum + Math.round(amount * 100), 0)).toBe(charged)
    expect((await asked('GET', `${this.#urls.payment}/payments/audit`, { headers })).body).toMatchObject({
      ok: true,
      problems: [],
      withoutOrder: [],
      totals: { payments: payments.length, charged },
    })
  }

  async #completed(): Promise<readonly string[]> {
    const found: string[] = []
    const url = `${this.#urls.shop}/ops/sagas?definition=order-orchestration&status=COMPLETED&limit=1000`
    for (let after: string | null = ''; after !== null;) {
      const { body }: Answered = await asked('GET', after === '' ? url : `${url}&after=${after}`)
      const page = body as { readonly items: readonly { readonly id: string }[]; readonly next: string | null }
      found.push(...page.items.map(({ id }) => id))
      after = page.next
    }
    return found
  }

  /** Page by page. */
  async #all<Item extends { readonly id: string }>(url: string, headers: Headers): Promise<readonly Item[]> {
    const found: Item[] = []
    for (;;) {
      const { body } = await asked('GET', `${url}?before=${found.at(-1)?.id ?? ''}`, { headers })
      const page = body as readonly Item[]
      if (page.length === 0) return found
      found.push(...page)
    }
  }

  async #underWay(): Promise<number> {
    const { text } = await asked('GET', `${this.#urls.shop}/metrics`)
    const [, running] = /^ordersaga_running_sagas (\d+)$/m.exec(text) ?? expect.fail('no figure of running sagas')
    return Number(running)
  }

  async #orderOne(n: number): Promise<void> {
    const customer = this.#random.pick(this.#customers as [Customer, ...Customer[]])
    const items = this.#linesOf(n)
    const changesHisMind = this.#random.next() < cancelled
    const saga = await this.#place(n, customer, items)
    this.#ordered.set(saga, items)
    if (changesHisMind) await this.#cancel(saga, customer)
  }

  #linesOf(n: number): readonly Line[] {
    const at = Math.floor(n / wave)
    const [own = '', next = ''] = [this.#products[at], this.#products[at + 1]]
    const first = { product_id: own, quantity: this.#random.between(1, 2) }
    return this.#random.next() < 0.2 ? [first, { product_id: next, quantity: 1 }] : [first]
  }

  /** Asked again under its key until it is taken: a busy shop says so. */
  #place(n: number, { email, token }: Customer, lines: readonly Line[]): Promise<string> {
    const json = {
      user_email: email,
      vendor_email: 'v@example.com',
      delivery_address: '12 Orchard Road',
      items: lines.map((line) => ({ ...line, unit_price: price })),
      payment_method: 'Credit Card',
    }
    const headers = { authorization: token, 'idempotency-key': `${this.#run}-${n}` }
    return vi.waitFor(async () => {
      const { status, body, text } = await asked('POST', `${this.#urls.shop}/orders/create_order`, { json, headers })
      expect([status, text]).toEqual([200, expect.stringContaining('saga_id')])
      return (body as { readonly saga_id: string }).saga_id
    }, patience)
  }

  /** Too late for one that came to nothing. */
  async #cancel(saga: string, { token }: Customer): Promise<void> {
    const url = `${this.#urls.shop}/orders/cancel_order?order_id=${saga}`
    const { status, text } = await asked('POST', url, { headers: { authorization: token } })
    if (status !== 200 && status !== 409) throw new Error(`a cancel was answered ${status}: ${text}`)
  }

  /** Anew: a long run may outlast a token. */
  async #asAdministrator(): Promise<Headers> {
    const { email } = firstLookUsers.find(({ role }) => role === 'admin') ?? expect.fail('no administrator')
    return { authorization: (await this.#logIn(email)).token }
  }

  async #logIn(email: string): Promise<Customer> {
    const known = firstLookUsers.find((user) => user.email === email)
    const password = known?.password ?? 'a long pass phrase'
    if (known === undefined)
      expect((await asked('POST', `${this.#urls.auth}/register`, { json: { email, password } })).status).toBe(201)
    const { body } = await asked('POST', `${this.#urls.auth}/login`, { json: { email, password } })
    return { email, token: (body as { readonly access_token: string }).access_token }
  }
}

interface PaymentBody {
  readonly id: string
  readonly order_id: string | null
  readonly payment_status: string
  readonly amount: number
}

interface OrderBody {
  readonly id: string
  readonly status: string
  readonly payment_id: string | null
}

/** A few at once, in order. */
async function inPortions<T>(count: number, work: (n: number) => Promise<T>): Promise<readonly T[]> {
  const done: T[] = []
  while (done.length < count) {
    const some = Math.min(50, count - done.length)
    done.push(...(await Promise.all(Array.from({ length: some }, (_none, n) => work(done.length + n)))))
  }
  return done
}
