/** The third part of a first run: a vendor has lamps, a customer logs in and orders from stock; one order is taken, one is more than there is. */
import { firstLookUsers } from '../auth/first-look.ts'
import { at, eachEvent, json, type Print } from './first-run-client.ts'

export interface ShopUrls {
  /** Of the Order Orchestration Service. */
  readonly shop: string
  readonly stock: string
  readonly auth: string
}

/** How long an order is followed, in milliseconds. */
const patienceMs = 60_000

const lamp = { name: 'First-look lamp', price: 12.99, stock: 5, vendor_id: 'vendor@example.com', description: 'A lamp' }

interface Product {
  readonly Id: string
  readonly Name: string
  /** Its vendor may have changed it since an earlier run. */
  readonly Price: number
  readonly Stock: number
}

interface Told {
  readonly status: string
  readonly current_step: string
  readonly error: string | null
}

/** As a client asks that has a token. */
function sent(method: string, body: object, token?: string): RequestInit {
  const headers = { 'content-type': 'application/json', ...(token === undefined ? {} : { authorization: token }) }
  return { method, headers, body: JSON.stringify(body) }
}

/**
 * Shows nothing but why, where the users of a first look may not log in.
 *
 * @throws Error where the services do not answer
 */
export async function shopRun(urls: ShopUrls, print: Print, followMs = patienceMs): Promise<void> {
  const { auth, stock } = urls
  const customer = await logIn(auth, 'customer', print)
  const vendor = customer === null ? null : await logIn(auth, 'vendor', print)
  if (customer === null || vendor === null) return
  const { email, token } = customer
  const product = await inStock(stock, vendor.token)
  print(`5. An order from stock: ${email} logs in, and orders 1 of ${product.Stock} lamps.`)
  await order(urls, { email, token, product, quantity: 1 }, print, followMs)
  print('')
  print('6. An order of more than there is: nothing is taken, neither stock nor money.')
  await order(urls, { email, token, product, quantity: 1_000 }, print, followMs)
  const { data: left } = await json<{ readonly data: number }>(`${stock}/product/stock/${product.Id}`)
  print(`   ${left} lamps are left`)
  print('')
  const isJson = "-H 'Content-Type: application/json'"
  const logInAs = (user: FirstLookUser): string =>
    `  curl -X POST ${auth}/login ${isJson} -d '${JSON.stringify({ email: user.email, password: user.password })}'`
  print('Everybody reads products; prices and stock are changed by their vendor, with his access_token:')
  print(logInAs(vendor))
  print(
    `  curl -X POST ${stock}/product/stock/${product.Id} -H 'Authorization: eyJ…' ${isJson} -d '${JSON.stringify({ quantity: 10 })}'`,
  )
  print('Order from stock yourself, with the access_token of the first answer:')
  print(logInAs(customer))
  print(`  curl -X POST ${urls.shop}/orders/create_order -H 'Authorization: eyJ…' ${isJson} \\`)
  print(`    -d '${JSON.stringify(request(email, product, 1))}'`)
}

type FirstLookUser = (typeof firstLookUsers)[number]

/** Null where he may not, and why is printed. */
async function logIn(
  auth: string,
  role: FirstLookUser['role'],
  print: Print,
): Promise<(FirstLookUser & { readonly token: string }) | null> {
  const user = firstLookUsers.find((each) => each.role === role)
  if (user === undefined) throw new Error(`there is no ${role} of a first look`)
  const { email, password } = user
  const answer = await fetch(`${auth}/login`, sent('POST', { email, password }))
  if (answer.ok) return { ...user, token: ((await answer.json()) as { readonly access_token: string }).access_token }
  await answer.body?.cancel()
  print(
    `Orders from stock are for users with a token, and ${email} of a first look may not log in now (${answer.status}): log in as a user of your own.`,
  )
  return null
}

const request = (user_email: string, product: Product, quantity: number) => ({
  user_email,
  vendor_email: lamp.vendor_id,
  delivery_address: '12 Orchard Road',
  items: [{ product_id: product.Id, quantity, unit_price: product.Price }],
  payment_method: 'Credit Card',
})

/** The lamp, of which some are left: its vendor sees to that. */
async function inStock(stock: string, token: string): Promise<Product> {
  const known = await lampOf(stock)
  if (known === undefined) await json(`${stock}/product`, sent('POST', lamp, token))
  else if (known.Stock < lamp.stock)
    await json(`${stock}/product/stock/${known.Id}`, sent('POST', { quantity: lamp.stock - known.Stock }, token))
  return (await lampOf(stock)) ?? Promise.reject(new Error(`${stock} does not show the product that was added to it`))
}

async function lampOf(stock: string): Promise<Product | undefined> {
  const { data } = await json<{ readonly data: readonly Product[] }>(
    `${stock}/product/many/${encodeURIComponent(lamp.name)}`,
  )
  return data.find(({ Name }) => Name === lamp.name)
}

interface Wanted {
  readonly email: string
  readonly token: string
  readonly product: Product
  readonly quantity: number
}

async function order(
  { shop }: ShopUrls,
  { email, token, product, quantity }: Wanted,
  print: Print,
  followMs: number,
): Promise<void> {
  const began = performance.now()
  const { saga_id: id } = await json<{ readonly saga_id: string }>(
    `${shop}/orders/create_order`,
    sent('POST', request(email, product, quantity), token),
  )
  print(`   saga ${id}; what its stream tells:`)
  let last: Told | null = null
  const headers = { authorization: token }
  const ended = await eachEvent(
    `${shop}/orders/${id}/updates`,
    followMs,
    (told) => {
      last = told as Told
      print(at(performance.now() - began, `${last.status.padEnd(12)} ${last.current_step}`))
    },
    headers,
  )
  const { error } = (last ?? {}) as Partial<Told>
  if (error != null) print(`   ${error}`)
  if (!ended) print('   it goes on by itself')
}
