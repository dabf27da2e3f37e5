/** Runs the `prepare`s of a round: outside any transaction, several at once, one that throws by itself. */
import { isUnavailable } from '../transports/transport.ts'
import { original, received, type Fail, type PreparedWork, type Replies, type Work } from './work.ts'

/** A command that has a stored reply is not prepared again; one whose `prepare` throws is left out. */
export async function prepareAll<Tx>(
  round: readonly Work<Tx>[],
  find: (works: readonly Work<Tx>[]) => Promise<Replies>,
  atOnce: number,
  fail: Fail,
): Promise<readonly PreparedWork<Tx>[]> {
  const needed = round.filter((work) => work.handled.prepare !== null && work.payload.ok)
  if (needed.length === 0) return round.map((work) => ({ ...work, prepared: undefined, preparedOn: null }))

  const stored = await find(needed)
  const open = needed.filter(({ message }) => !stored.has(message.id))
  const { prepared, failed } = await runAll(open, stored, atOnce, fail)
  return round
    .filter(({ message }) => !failed.has(message.id))
    .map((work) => ({
      ...work,
      prepared: prepared.get(work.message.id),
      preparedOn: original(work.message, stored)?.kind ?? null,
    }))
}

/** @throws UnavailableError where one says so, once no `prepare` is under way any more: the batch comes again */
async function runAll<Tx>(open: readonly Work<Tx>[], stored: Replies, atOnce: number, fail: Fail) {
  const prepared = new Map<string, unknown>()
  const failed = new Set<string>()
  const away: Error[] = []
  await forEachAtMost(atOnce, open, async (work) => {
    if (away.length > 0) return
    try {
      prepared.set(work.message.id, await work.handled.prepare?.(received(work, stored)))
    } catch (error) {
      if (isUnavailable(error)) return void away.push(error)
      failed.add(work.message.id)
      fail(work.message, error)
    }
  })
  for (const error of away) throw error
  return { prepared, failed }
}

async function forEachAtMost<T>(limit: number, items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const shared = items.values()
  const worker = async (): Promise<void> => {
    for (const item of shared) await work(item)
  }
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker))
}
