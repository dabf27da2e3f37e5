import { describe, expect, test } from 'vitest'
import { openWorker, type Bounded, type Sleep, type Worker } from './worker.ts'

/** Waits that end only when they are told to. */
class Waits {
  readonly #open = new Map<() => void, number>()
  readonly sleep: Sleep = (ms, wake) => {
    this.#open.set(wake, ms)
    return () => void this.#open.delete(wake)
  }
  get ms(): readonly number[] {
    return [...this.#open.values()]
  }
  async end(ms: number): Promise<void> {
    await expect.poll(() => this.ms, { interval: 1 }).toContain(ms)
    for (const [wake, length] of this.#open) {
      if (length !== ms) continue
      this.#open.delete(wake)
      wake()
    }
  }
}

/** A worker whose looks a test answers one by one. */
function watched(over: { readonly firstRetryMs?: number } = {}) {
  const waits = new Waits()
  const problems: string[] = []
  const looks: { readonly bounded: Bounded; done(pauseMs: number): void; failed(why: string): void }[] = []
  const worker: Worker = openWorker({
    look: (bounded) =>
      new Promise((done, reject) => looks.push({ bounded, done, failed: (why) => reject(new Error(why)) })),
    longestPauseMs: 1_000,
    sleep: waits.sleep,
    onProblem: (error) => problems.push((error as Error).message),
    ...over,
  })
  const look = async (count: number) => {
    await expect.poll(() => looks, { interval: 1 }).toHaveLength(count)
    return looks[count - 1]!
  }
  return { worker, waits, problems, looks, look }
}

describe('a worker', () => {
  test('does nothing before it is begun, nor once it is stopped', async () => {
    const { worker, looks, look } = watched()
    worker.nudge()
    await worker.look()
    expect(looks).toEqual([])
    worker.begin()
    const first = await look(1)
    const stopped = worker.stop()
    first.done(10)
    await stopped
    worker.begin()
    worker.nudge()
    await worker.look()
    expect(looks).toHaveLength(1)
  })

  test('looks again after the pause that the look gave back, and no later than its longest', async () => {
    const { worker, waits, look } = watched()
    worker.begin()
    ;(await look(1)).done(10)
    await waits.end(10)
    ;(await look(2)).done(5_000)
    await waits.end(1_000)
    ;(await look(3)).done(-5)
    await waits.end(1)
    await look(4)
  })

  test('has one look at a time, and another after it for all who asked during it', async () => {
    const { worker, waits, looks, look } = watched()
    worker.begin()
    const first = await look(1)
    const asked = [worker.look(), worker.look()]
    worker.nudge()
    expect(looks).toHaveLength(1)
    first.done(10)
    ;(await look(2)).done(20)
    await Promise.all(asked)
    expect(looks).toHaveLength(2)
    expect(waits.ms).toEqual([20])
  })

  test('pauses ever longer while its looks fail; a nudge does not shorten that, a look does', async () => {
    const { worker, waits, problems, looks, look } = watched()
    worker.begin()
    for (const [index, pauseMs] of [100, 200, 400, 800, 1_000, 1_000].entries()) {
      ;(await look(index + 1)).failed(`failure ${index + 1}`)
      await expect.poll(() => waits.ms, { interval: 1 }).toEqual([pauseMs])
      worker.nudge()
      expect(looks).toHaveLength(index + 1)
      if (index < 5) await waits.end(pauseMs)
    }
    expect(problems).toHaveLength(6)
    const asked = worker.look()
    ;(await look(7)).done(10)
    await asked
    worker.nudge()
    ;(await look(8)).failed('again')
    await waits.end(100)
  })

  test('gives up what takes too long', async () => {
    const { worker, waits, look } = watched()
    worker.begin()
    const { bounded } = await look(1)
    const hanging = bounded('telling', () => new Promise<never>(() => undefined))
    await waits.end(60_000)
    await expect(hanging).rejects.toThrow('telling is given up for now: it took longer than 60000 ms')
    expect(await bounded('telling', async () => 'told')).toBe('told')
    expect(waits.ms).toEqual([])
  })

  test('waits on stopping for the look in hand, and lets go of what hangs after a while', async () => {
    const { worker, waits, look } = watched()
    worker.begin()
    const { bounded, done } = await look(1)
    const hanging = bounded('telling', () => new Promise<never>(() => undefined))
    const stopped = worker.stop()
    await waits.end(5_000)
    await expect(hanging).rejects.toThrow('the service is stopping')
    await expect(bounded('telling', async () => 'told')).rejects.toThrow('the service is stopping')
    done(10)
    await stopped
    expect(waits.ms).toEqual([])
  })
})
