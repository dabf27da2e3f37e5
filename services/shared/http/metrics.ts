/** `/metrics` for Prometheus: each server's own registry, and once per process what is true of the process. */
import { collectDefaultMetrics, Histogram, Registry } from 'prom-client'
import { problemMetrics } from '../log/problems.ts'
import type { HttpServer } from './server.ts'

/** Of the process, so one for all servers in it: made when first asked for. */
let ofProcess: Registry | null = null

function processMetrics(): Registry {
  if (ofProcess === null) {
    ofProcess = new Registry()
    collectDefaultMetrics({ register: ofProcess })
  }
  return ofProcess
}

/** `registry` may hold the service's own metrics besides. */
export function serveMetrics(server: HttpServer, registry: Registry): void {
  const process = processMetrics()
  const duration = new Histogram({
    name: 'http_request_duration_seconds',
    help: 'How long requests took, by route',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers: [registry],
  })
  server.addHook('onResponse', async (request, reply) => {
    // A route's pattern, never its path: each id would be a series of its own.
    const route = request.is404 ? 'none' : (request.routeOptions.url ?? 'none')
    duration.observe({ method: request.method, route, status: reply.statusCode }, reply.elapsedTime / 1_000)
  })
  server.get('/metrics', { schema: { hide: true } }, async (_request, reply) =>
    reply.type(registry.contentType).send(await Registry.merge([registry, problemMetrics, process]).metrics()),
  )
}
