/**
 * Wakes sagas at their times. One timer for all: a heap of times, at most two entries for each saga that has a wake-up.
 *
 * A saga's wake-up moves with each of its moves, mostly later (the next attempt's deadline). So an entry that is early
 * enough stays; when it fires, the true time is looked up and, where it lies ahead, a new entry is made. Most sagas end
 * long before their time: where more entries are left over than are needed, the heap is made anew.
 *
 * A time has come when either clock says so: what was to be waited for has passed, however the wall clock was set meanwhile;
 * or the wall clock is there, because the machine slept or the clock was set forward. The heap has the times of the first
 * clock; a look every few seconds notices a jump of the other.
 */
import type { Clock } from '../../clock.ts'

interface Entry {
  /** On the clock that never goes back. */
  readonly at: number
  readonly id: string
}

interface Due {
  /** Unix milliseconds. */
  wall: number
  /** The same on the clock that never goes back. */
  at: number
  /** Of the earliest heap entry made for it. */
  entry: number
}

/** A jump is noticed this soon, in milliseconds. */
const lookMs = 2_000

/** What the clocks may drift apart between two looks without a jump, in milliseconds. */
const driftMs = 500

export class Alarms {
  readonly #clock: Clock
  readonly #wake: (id: string, wall: number) => void
  readonly #due = new Map<string, Due>()
  #heap: Entry[] = []
  #stopped = false
  #timer: { at: number; cancel(): void } | null = null
  /** How far the wall clock was ahead of the other at the last look. */
  #ahead: number

  /** @param wake gets the saga and the time, Unix milliseconds, that has come for it */
  constructor(clock: Clock, wake: (id: string, wall: number) => void) {
    this.#clock = clock
    this.#wake = wake
    this.#ahead = this.#aheadNow()
  }

  get size(): number {
    return this.#due.size
  }

  /** Entries in the heap, those that are left over included. */
  get entries(): number {
    return this.#heap.length
  }

  /**
   * @param wall Unix milliseconds; null where the saga waits for no time
   * @param since Unix milliseconds, when it was decided: where the wall clock was set back since, the wait is as long as it was
   *   meant to be
   */
  set(id: string, wall: number | null, since = 0): void {
    if (this.#stopped) return
    const known = this.#due.get(id)
    if (wall === null) this.#due.delete(id)
    else if (known?.wall !== wall) {
      const at = this.#clock.elapsed() + wall - Math.max(this.#clock.now(), since)
      if (known !== undefined && known.entry <= at) {
        known.wall = wall
        known.at = at
      } else {
        this.#due.set(id, { wall, at, entry: at })
        this.#push({ at, id })
        this.#arm()
      }
    }
    if (this.#heap.length > 2 * this.#due.size) this.#tidy()
  }

  /** For good: a wake-up that is set later is none. */
  stop(): void {
    this.#stopped = true
    this.#timer?.cancel()
    this.#timer = null
    this.#due.clear()
    this.#heap = []
  }

  /** Sorted, entries are a heap. The timer stays: fired too early, it is set again. */
  #tidy(): void {
    this.#heap = [...this.#due].map(([id, due]) => ({ at: (due.entry = due.at), id })).toSorted((a, b) => a.at - b.at)
  }

  #aheadNow(): number {
    return this.#clock.now() - this.#clock.elapsed()
  }

  #arm(): void {
    const first = this.#heap[0]
    if (first === undefined || (this.#timer !== null && this.#timer.at <= first.at)) return
    this.#timer?.cancel()
    const now = this.#clock.elapsed()
    const at = Math.min(first.at, now + lookMs)
    const timer = this.#clock.after(at - now, () => this.#fire())
    this.#timer = { at, cancel: () => timer.cancel() }
  }

  #fire(): void {
    this.#timer = null
    this.#followWall()
    const now = this.#clock.elapsed()
    for (let first = this.#heap[0]; first !== undefined && first.at <= now; first = this.#heap[0]) {
      this.#pop()
      const due = this.#due.get(first.id)
      if (due === undefined || due.entry !== first.at) continue // ended, or an earlier entry took its place
      this.#due.delete(first.id)
      if (due.at <= now) this.#wake(first.id, due.wall)
      else this.#again(first.id, due)
    }
    this.#arm()
  }

  #again(id: string, { wall, at }: Due): void {
    this.#due.set(id, { wall, at, entry: at })
    this.#push({ at, id })
  }

  /** The machine has slept, or the wall clock was set: what has come on it by now is due. */
  #followWall(): void {
    const ahead = this.#aheadNow()
    const jump = ahead - this.#ahead
    this.#ahead = ahead
    if (jump < driftMs) return
    for (const due of this.#due.values()) due.at = Math.min(due.at, due.wall - ahead)
    this.#tidy()
  }

  #push(entry: Entry): void {
    const heap = this.#heap
    let index = heap.push(entry) - 1
    while (index > 0) {
      const parent = (index - 1) >> 1
      const above = heap[parent] as Entry
      if (above.at <= entry.at) break
      heap[index] = above
      index = parent
    }
    heap[index] = entry
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop() as Entry
    if (heap.length === 0) return
    let index = 0
    for (;;) {
      const left = 2 * index + 1
      if (left >= heap.length) break
      const right = left + 1
      const child = right < heap.length && (heap[right] as Entry).at < (heap[left] as Entry).at ? right : left
      const below = heap[child] as Entry
      if (below.at >= last.at) break
      heap[index] = below
      index = child
    }
    heap[index] = last
  }
}
