/** Lets browser pages of the listed origins call this server; of every other for paths alone that are open to all. */
import type { OpenPath } from './callers.ts'
import { pathOf } from './failures.ts'
import type { HttpServer } from './server.ts'

/** Where the pages come from that people use the services with. */
export const knownPages: readonly string[] = ['http://localhost:5173']

const methods = 'GET, POST, PUT, PATCH, DELETE'
const headers = 'Content-Type, Authorization, Idempotency-Key, Last-Event-ID'
/** What our services say to a page beside the body: the next page of a list, when to ask again. A browser hides the rest. */
const exposed = 'X-Next, Retry-After'

export function allowOrigins(server: HttpServer, allowed: readonly string[], isOpen: OpenPath = () => false): void {
  server.addHook('onRequest', async (request, reply) => {
    void reply.header('vary', 'Origin')
    const origin = request.headers.origin
    if (origin === undefined || !(allowed.includes(origin) || isOpen(pathOf(request)))) return
    void reply.header('access-control-allow-origin', origin).header('access-control-expose-headers', exposed)
    if (request.method !== 'OPTIONS' || request.headers['access-control-request-method'] === undefined) return
    void reply.header('access-control-allow-methods', methods).header('access-control-allow-headers', headers)
    await reply.header('access-control-max-age', '600').code(204).send()
  })
}
