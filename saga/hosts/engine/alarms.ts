/**
 * Wakes sagas at their times. One timer for all: a heap of times, at most two entries for each saga that has a wake-up.
 *
 * A saga's wake-up moves with each of its moves, mostly later (the next attempt's deadline). So an entry that is early
 * enough stays; when it fires, the true time is looked up and, where it lies ahead, a new entry is made. Most sagas end
 * long before their time: where more entries are left over than are needed, the heap is made anew.
 */
import type { Clock } from '../../clock.ts'

interface Entry {
  readonly at: number
  readonly id: string
}

export class Alarms {
  readonly #clock: Clock
  readonly #wake: (id: string) => void
  /** The true wake-up of each saga that has one, and the earliest heap entry made for it. */
  readonly #due = new Map<string, { at: number; entry: number }>()
  #heap: Entry[] = []
  #stopped = false
  #timer: { at: number; cancel(): void } | null = null

  constructor(clock: Clock, wake: (id: string) => void) {
    this.#clock = clock
    this.#wake = wake
  }

  get size(): number {
    return this.#due.size
  }

  /** Entries in the heap, those that are left over included. */
  get entries(): number {
    return this.#heap.length
  }

  set(id: string, at: number | null): void {
    if (this.#stopped) return
    const known = this.#due.get(id)
    if (at === null) this.#due.delete(id)
    else if (known !== undefined && known.entry <= at) known.at = at
    else {
      this.#due.set(id, { at, entry: at })
      this.#push({ at, id })
      this.#arm()
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

  #arm(): void {
    const first = this.#heap[0]
    if (first === undefined || (this.#timer !== null && this.#timer.at <= first.at)) return
    this.#timer?.cancel()
    const timer = this.#clock.after(first.at - this.#clock.now(), () => this.#fire())
    this.#timer = { at: first.at, cancel: () => timer.cancel() }
  }

  #fire(): void {
    this.#timer = null
    const now = this.#clock.now()
    for (let first = this.#heap[0]; first !== undefined && first.at <= now; first = this.#heap[0]) {
      this.#pop()
      const due = this.#due.get(first.id)
      if (due === undefined || due.entry !== first.at) continue // ended, or an earlier entry took its place
      this.#due.delete(first.id)
      if (due.at <= now) this.#wake(first.id)
      else this.set(first.id, due.at)
    }
    this.#arm()
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
