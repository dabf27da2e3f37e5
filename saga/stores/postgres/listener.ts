/** Listens for notifications on a connection of its own, and takes a new one whenever it breaks. */
import pg from 'pg'
import { quoted } from './schema.ts'

const pauseMs = 1000

/** @param onListening called whenever it begins to hear, before anything is heard; may ask the connection */
export async function listen(
  settings: pg.ClientConfig,
  channel: string,
  onListening: (client: pg.Client) => Promise<unknown>,
  onPayload: (payload: string) => void,
): Promise<{ close(): Promise<void> }> {
  let client: pg.Client | null = null
  let timer: NodeJS.Timeout | null = null
  let closed = false

  function again(): void {
    client = null
    if (closed || timer !== null) return
    timer = setTimeout(() => {
      timer = null
      void connect()
    }, pauseMs)
  }

  async function connect(): Promise<void> {
    const next = new pg.Client(settings)
    client = next
    next.on('error', () => undefined) // its end follows
    next.on('end', again)
    next.on('notification', ({ payload }) => onPayload(payload ?? ''))
    try {
      await next.connect()
      await next.query(`listen ${quoted(channel)}`)
      await onListening(next)
    } catch {
      next.removeListener('end', again)
      await next.end().catch(() => undefined)
      again()
    }
  }

  await connect()
  return {
    async close() {
      closed = true
      if (timer !== null) clearTimeout(timer)
      await client?.end().catch(() => undefined)
    },
  }
}
