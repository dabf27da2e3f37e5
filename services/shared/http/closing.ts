/**
 * An end that lets requests in hand finish, and waits for nothing else: not for connections that are kept after their last
 * answer, and not for those that have never asked anything (browsers and load balancers open some in advance).
 */
import type { Socket } from 'node:net'
import { HttpError } from './http-error.ts'
import type { HttpServer } from './server.ts'

/** How long requests in hand may go on once the server is closing. */
const graceMs = 10_000

export function closeInOrder(server: HttpServer): void {
  const inHand = countRequests(server)
  let closing = false
  server.addHook('preClose', async () => {
    closing = true
    for (const [socket, requests] of inHand) if (requests === 0) socket.destroy()
    // Streams without an end, and clients that never read theirs, must not keep the process.
    setTimeout(() => server.server.closeAllConnections(), graceMs).unref()
  })
  server.addHook('onSend', async (_request, reply) => void (closing && reply.header('connection', 'close')))
  server.addHook('onRequest', async () => {
    if (closing) throw new HttpError(503, 'this service is stopping: send the request again in a moment', 1)
  })
}

/** Every open connection, with the number of its requests that are not answered yet. */
function countRequests({ server }: HttpServer): ReadonlyMap<Socket, number> {
  const inHand = new Map<Socket, number>()
  const count = (socket: Socket, change: number): void => {
    const before = inHand.get(socket)
    if (before !== undefined) inHand.set(socket, before + change)
  }
  server.on('connection', (socket: Socket) => {
    inHand.set(socket, 0)
    socket.on('close', () => inHand.delete(socket))
  })
  server.on('request', ({ socket }, response) => {
    count(socket, 1)
    response.on('close', () => count(socket, -1))
  })
  return inHand
}
