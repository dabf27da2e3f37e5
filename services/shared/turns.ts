/**
 * Keeps the turns of the event loop short, so that a question for the health of the process is answered soon, whatever else it
 * has to do. Work that may come in any amount (requests, transactions of an embedded database) asks for its turn first.
 *
 * - In one turn so much is begun and no more. An embedded database answers within the call, so that a chain of its
 *   transactions, awaited one after the other, would else hold up everything until its end.
 * - While connections come in nothing is begun, for a while: Node takes one in each turn (libuv since 1.45), and who asks for
 *   health over a new one stands behind all that came before it.
 *
 * The event loop belongs to the process, and so does what is counted here.
 */

/** What comes once a turn has been so long waits for another. */
const mostMs = 10

/** For so long nothing is begun while connections come in: some thousand are taken by then. */
const mostHeldMs = 250

/** When the first work of this turn was begun. */
let beganAt: number | null = null
/** A connection has come in this turn. */
let came = false
/** Since when one has come in every turn. */
let comingSince: number | null = null
let waiting = 0
let isWatched = false

/** Resolves when work may be begun: at once where nothing is in the way, else in a later turn, in the order of asking. */
export async function turn(): Promise<void> {
  watch()
  // The first of a turn alone: of several that ask at once none has begun when the next one asks.
  if (waiting === 0 && beganAt === null && isFree()) return
  waiting += 1
  // Between two immediates of one turn what the first of them began is carried out, as far as it goes.
  await new Promise<void>((resolve) => {
    const look = (): void => {
      if (isFree()) resolve()
      else setImmediate(look)
    }
    setImmediate(look)
  })
  waiting -= 1
}

/** A connection has come in: there may be more behind it. */
export function connectionCame(): void {
  came = true
  watch()
}

function isFree(): boolean {
  if (came || comingSince !== null) return false
  const now = performance.now()
  beganAt ??= now
  return now - beganAt < mostMs
}

/** Looks at each turn for as long as there is something to look at. */
function watch(): void {
  if (isWatched) return
  isWatched = true
  setImmediate(turned)
}

function turned(): void {
  const now = performance.now()
  const isOver = comingSince !== null && now - comingSince > mostHeldMs
  comingSince = came && !isOver ? (comingSince ?? now) : null
  came = false
  const isBusy = waiting > 0 || beganAt !== null || comingSince !== null
  beganAt = null
  isWatched = false
  if (isBusy) watch()
}
