/**
 * Runs the `prepare`s of a round: outside any transaction, several at once, one that throws by itself. What is prepared is
 * given out in waves: a slow one holds up only its own command, and the quick ones still share a transaction.
 */
import type { Clock } from '../clock.ts'
import { isUnavailable } from '../transports/transport.ts'
import type { Slots } from './slots.ts'
import { original, received, type Fail, type PreparedWork, type Replies, type Work } from './work.ts'

/** What is ready waits so long for others that are almost; it costs nothing where all are ready before. */
const lingerMs = 25

export interface PreparingOptions<Tx> {
  readonly find: (works: readonly Work<Tx>[]) => Promise<Replies>
  readonly slots: Slots
  readonly clock: Clock
  readonly fail: Fail
}

/**
 * A command that has a stored reply is not prepared again; one whose `prepare` throws is left out. One that needs no
 * preparation comes after those of its saga before it.
 *
 * @throws UnavailableError where a `prepare` says so, once none is under way any more: the batch comes again
 */
export async function* prepareInWaves<Tx>(
  round: readonly Work<Tx>[],
  { find, slots, clock, fail }: PreparingOptions<Tx>,
): AsyncGenerator<readonly PreparedWork<Tx>[], void, undefined> {
  const needed = round.filter((work) => work.handled.prepare !== null && work.payload.ok)
  if (needed.length === 0) return yield round.map((work) => ({ ...work, prepared: undefined, preparedOn: null }))

  const stored = await find(needed)
  const open = new Set(needed.filter(({ message }) => !stored.has(message.id)))
  const waves = new Waves<PreparedWork<Tx>>(round.length, clock)
  const away: Error[] = []
  const prepare = async (work: Work<Tx>): Promise<void> => {
    const ready = (prepared: unknown): void =>
      waves.add({ ...work, prepared, preparedOn: original(work.message, stored)?.kind ?? null })
    if (!open.has(work)) return ready(undefined)
    await slots.run(async () => {
      if (away.length > 0) return waves.leaveOut()
      try {
        ready(await work.handled.prepare?.(received(work, stored)))
      } catch (error) {
        if (isUnavailable(error)) away.push(error)
        else fail(work.message, error)
        waves.leaveOut()
      }
    })
  }
  const bySaga = new Map<string, Promise<void>>()
  for (const work of round) {
    const { correlationId } = work.message
    const before = bySaga.get(correlationId)
    bySaga.set(correlationId, before === undefined ? prepare(work) : before.then(() => prepare(work)))
  }
  try {
    for (let wave = await waves.next(); wave !== null && away.length === 0; wave = await waves.next()) yield wave
  } finally {
    await Promise.all(bySaga.values())
  }
  for (const error of away) throw error
}

/** What becomes ready, a wave at a time. */
class Waves<T> {
  readonly #clock: Clock
  #left: number
  #ready: T[] = []
  #changed: () => void = () => undefined

  constructor(expected: number, clock: Clock) {
    this.#left = expected
    this.#clock = clock
  }

  add(item: T): void {
    this.#ready.push(item)
    this.leaveOut()
  }

  leaveOut(): void {
    this.#left -= 1
    this.#changed()
  }

  /** Null once nothing more comes. */
  async next(): Promise<readonly T[] | null> {
    await this.#until(() => this.#left === 0 || this.#ready.length > 0)
    let lingered = false
    const timer = this.#left === 0 ? null : this.#clock.after(lingerMs, () => ((lingered = true), this.#changed()))
    await this.#until(() => this.#left === 0 || lingered)
    timer?.cancel()
    const wave = this.#ready
    this.#ready = []
    return wave.length > 0 ? wave : null
  }

  async #until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => (this.#changed = resolve))
  }
}
