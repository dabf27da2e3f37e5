/** Who gets what of the stock: pure, so that it can be tried out with any numbers. */

export interface Line {
  readonly productId: string
  readonly quantity: number
}

/** One line for each product, in the order of their ids: what is asked for twice is asked for in sum. */
export function linesOf(products: readonly { readonly product_id: string; readonly quantity: number }[]): Line[] {
  const wanted = new Map<string, number>()
  for (const { product_id, quantity } of products) wanted.set(product_id, (wanted.get(product_id) ?? 0) + quantity)
  return [...wanted]
    .map(([productId, quantity]) => ({ productId, quantity }))
    .toSorted((one, other) => (one.productId < other.productId ? -1 : 1))
}

export const sameLines = (one: readonly Line[], other: readonly Line[]): boolean =>
  one.length === other.length &&
  one.every(({ productId, quantity }, at) => other[at]?.productId === productId && other[at].quantity === quantity)

export interface Shares {
  /** For each order why it gets nothing; null where it gets all that it wants. */
  readonly refusals: readonly (string | null)[]
  /** What is taken of each product. */
  readonly taken: ReadonlyMap<string, number>
}

/**
 * Gives each order all that it wants or nothing, who comes first first.
 *
 * @param left how many there are of each product; one that there is not is missing
 */
export function shareOut(orders: readonly (readonly Line[])[], left: ReadonlyMap<string, number>): Shares {
  const taken = new Map<string, number>()
  const refusals = orders.map((lines) => {
    const lacking = lines.map((line) => whyNot(line, left, taken)).find((why) => why !== null)
    if (lacking !== undefined) return lacking
    for (const { productId, quantity } of lines) taken.set(productId, (taken.get(productId) ?? 0) + quantity)
    return null
  })
  return { refusals, taken }
}

function whyNot(
  { productId, quantity }: Line,
  left: ReadonlyMap<string, number>,
  taken: ReadonlyMap<string, number>,
): string | null {
  const stock = left.get(productId)
  if (stock === undefined) return `there is no product ${productId}`
  const free = stock - (taken.get(productId) ?? 0)
  return quantity <= free ? null : `${quantity} of product ${productId} are wanted, and ${free} are left`
}
