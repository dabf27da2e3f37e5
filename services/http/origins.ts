/** Lets browser pages of the listed origins call this server; of no other, and never of any (`*`). */
import type { HttpServer } from './server.ts'

const methods = 'GET, POST, PUT, PATCH, DELETE'
const headers = 'Content-Type, Authorization, Idempotency-Key, Last-Event-ID'

export function allowOrigins(server: HttpServer, allowed: readonly string[]): void {
  server.addHook('onRequest', async (request, reply) => {
    void reply.header('vary', 'Origin')
    const origin = request.headers.origin
    if (origin === undefined || !allowed.includes(origin)) return
    void reply.header('access-control-allow-origin', origin)
    if (request.method !== 'OPTIONS' || request.headers['access-control-request-method'] === undefined) return
    void reply.header('access-control-allow-methods', methods).header('access-control-allow-headers', headers)
    await reply.header('access-control-max-age', '600').code(204).send()
  })
}
