/**
 * An end in order: first not ready, while all that comes is still answered, so that whoever sends goes elsewhere; then no
 * new connections; then the requests in hand are finished. Waits for nothing else: not for connections that are kept after
 * their last answer, and not for those that have never asked anything (browsers and load balancers open some in advance).
 */
import { setImmediate as turn, setTimeout as pause } from 'node:timers/promises'
import type { Connections } from './connections.ts'
import { HttpError } from './http-error.ts'
import type { HttpServer } from './server.ts'

/** How long requests in hand may go on once the server is closing. */
const graceMs = 10_000

/** So long no further request must have come. */
const quietMs = 50

/** Whoever goes on sending has had this long to notice. */
const drainMs = 2_000

/** @returns whether the server is closing */
export function closeInOrder(server: HttpServer, connections: Connections): () => boolean {
  let phase: 'open' | 'draining' | 'closing' = 'open'
  let lastRequest = -Infinity
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
    lastRequest = performance.now()
    if (phase === 'closing') throw new HttpError(503, 'this service is stopping: send the request again in a moment', 1)
  })

  async function drained(): Promise<void> {
    const began = performance.now()
    // The system has connections for us that we have not seen yet, and of those that we have, what was sent over them.
    for (let turns = 0; turns < 3; turns++) await turn()
    const isQuiet = (): boolean => performance.now() - Math.max(began, lastRequest) > quietMs
    while (connections.has(server) && !isQuiet() && performance.now() - began < drainMs) await pause(5)
  }

  return () => phase !== 'open'
}
