/**
 * An end in order: first not ready, while all that comes is still answered, so that whoever sends goes elsewhere; then no
 * new connections; then the requests in hand are finished. Waits for nothing else: not for connections that are kept after
 * their last answer, and not for those that have never asked anything (browsers and load balancers open some in advance).
 */
import { setTimeout as pause } from 'node:timers/promises'
import type { Connections } from './connections.ts'
import { HttpError } from './http-error.ts'
import type { HttpServer } from './server.ts'

/** How long requests in hand may go on once the server is closing. */
const graceMs = 10_000

/**
 * In so many turns of the event loop nothing further must have come: time alone says nothing on a busy machine, where what
 * was sent long ago is not seen yet. Where connections are open, more may follow over them.
 */
const quietTurns = { open: 10, none: 3 }
const turnMs = 5

/**
 * Whoever goes on sending has had this long to notice. The loop takes in one waiting connection in a turn, and a turn is long
 * under load.
 */
const drainMs = 5_000

/** @returns whether the server is closing */
export function closeInOrder(server: HttpServer, connections: Connections): () => boolean {
  let phase: 'open' | 'draining' | 'closing' = 'open'
  /** Connections and requests. */
  let seen = 0
  server.server.on('connection', () => void (seen += 1))
  server.addHook('preClose', async () => {
    phase = 'draining'
    await drained()
    phase = 'closing'
    connections.endIdle(server)
    // Streams without an end, and clients that never read theirs, must not keep the process.
    setTimeout(() => server.server.closeAllConnections(), graceMs).unref()
  })
  server.addHook('onSend', async (_request, reply) => void (phase !== 'open' && reply.header('connection', 'close')))
  server.addHook('onRequest', async () => {
    seen += 1
    if (phase === 'closing') throw new HttpError(503, 'this service is stopping: send the request again in a moment', 1)
  })

  async function drained(): Promise<void> {
    const began = performance.now()
    for (let quiet = 0; quiet < (connections.has(server) ? quietTurns.open : quietTurns.none);) {
      const before = seen
      await pause(turnMs)
      quiet = seen === before ? quiet + 1 : 0
      if (performance.now() - began > drainMs) return
    }
  }

  return () => phase !== 'open'
}
