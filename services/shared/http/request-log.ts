/**
 * One line for each request, when it is answered: method, path, status, time, and the saga where it is known.
 *
 * Never a body, a header or a query: they hold what customers and their clients keep to themselves.
 */
import { pathOf } from './failures.ts'
import type { HttpServer } from './server.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Set by a route that has found out which saga a request is about; one in the path is known without. */
    sagaId: string | null
  }
}

/** Asked every few seconds by machines: their lines would hide the others. */
const quiet: readonly string[] = ['/health', '/health/live', '/health/ready', '/metrics']

export function logRequests(server: HttpServer): void {
  server.decorateRequest('sagaId', null)
  server.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url
    const level = route !== undefined && quiet.includes(route) && reply.statusCode < 400 ? 'debug' : 'info'
    const sagaId = request.sagaId ?? (request.params as Readonly<Record<string, string>> | undefined)?.['saga_id']
    server.log[level](
      {
        requestId: request.id,
        method: request.method,
        path: pathOf(request),
        status: reply.statusCode,
        ms: Math.round(reply.elapsedTime * 10) / 10,
        ...(sagaId === undefined ? {} : { sagaId }),
      },
      'request',
    )
  })
}
