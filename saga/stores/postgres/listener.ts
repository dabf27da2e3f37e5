/** Listens for notifications on a connection of its own, and takes a new one whenever it breaks or falls silent. */
import { within } from '../within.ts'
import type { PostgresClient } from './pool.ts'
import { silentFor } from './pool.ts'
import { quoted } from './schema.ts'
import type { Dedicated } from './source.ts'

const pauseMs = 1000

/** A connection that listens says nothing by itself: it is asked, so that a dead one is noticed. */
const askEveryMs = 10_000

export interface ListenOptions {
  readonly connect: () => Promise<Dedicated>
  readonly channel: string
  readonly timeoutMs: number
  /** Called whenever it begins to hear, before anything is heard; may ask the connection. */
  readonly onListening: (client: PostgresClient) => Promise<unknown>
  readonly onPayload: (payload: string) => void
}

export async function listen(options: ListenOptions): Promise<{ close(): Promise<void> }> {
  const { connect, channel, timeoutMs, onListening, onPayload } = options
  let current: Dedicated | null = null
  let timer: NodeJS.Timeout | undefined
  let isClosed = false

  const answered = <T>(work: Promise<T>): Promise<T> => within(timeoutMs, work, silentFor(timeoutMs))

  /** Looks after `pauseMs` for another connection, where this one is still the one that counts. */
  async function giveUp(broken: Dedicated | null): Promise<void> {
    if (broken !== current) return
    current = null
    clearTimeout(timer)
    if (!isClosed) timer = setTimeout(() => void begin(), pauseMs)
    await broken?.end()
  }

  async function ask(dedicated: Dedicated): Promise<void> {
    try {
      await answered(dedicated.client.query({ text: 'select 1' }))
      if (dedicated === current && !isClosed) timer = setTimeout(() => void ask(dedicated), askEveryMs)
    } catch {
      await giveUp(dedicated)
    }
  }

  async function begin(): Promise<void> {
    try {
      const dedicated = await connect()
      if (isClosed) return await dedicated.end()
      current = dedicated
      dedicated.client.on('end', () => void giveUp(dedicated))
      dedicated.client.on('notification', ({ payload }) => onPayload(payload ?? ''))
      await answered(dedicated.client.query({ text: `listen ${quoted(channel)}` }))
      await answered(onListening(dedicated.client))
      await ask(dedicated)
    } catch {
      await giveUp(current)
    }
  }

  await begin()
  return {
    async close() {
      isClosed = true
      clearTimeout(timer)
      await current?.end()
    },
  }
}
