/**
 * The HTTP server of every service: checked requests, one shape of errors, health, metrics, an OpenAPI page, logs.
 *
 * Invariants:
 * - what a client did wrong is answered with a sentence that says what, why and what to do, never with a 5xx;
 * - what went wrong here is answered without detail and logged with it, under the same request id;
 * - `/health/ready` asks the parts that the service needs, each time.
 */
import { fastifySwagger } from '@fastify/swagger'
import { fastifySwaggerUi } from '@fastify/swagger-ui'
import {
  fastify,
  type FastifyBaseLogger,
  type FastifyError,
  type FastifyInstance,
  type RawServerDefault,
} from 'fastify'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import {
  hasZodFastifySchemaValidationErrors,
  jsonSchemaTransform,
  serializerCompiler,
  validatorCompiler,
  type ZodTypeProvider,
} from 'fastify-type-provider-zod'
import type { Logger } from 'pino'
import { collectDefaultMetrics, Histogram, Registry } from 'prom-client'

export type HttpServer = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  ZodTypeProvider
>

export interface HttpServerOptions {
  readonly name: string
  readonly title: string
  readonly description: string
  readonly log: Logger
  /** Asks each part that the service needs; false or a throw makes the service not ready. */
  readonly parts: () => Promise<Readonly<Record<string, boolean>>>
  /** The error shape that this service's clients know. */
  readonly errorBody: (status: number, text: string) => unknown
  /** More metrics of the service's own. */
  readonly metrics?: (registry: Registry) => void
}

/** Bytes; an order is far smaller. */
const bodyLimit = 1_048_576

/** Thrown by routes for what a client can mend. */
export class ClientError extends Error {
  override readonly name = 'ClientError'
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

export async function createHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const server = fastify({
    loggerInstance: options.log as FastifyBaseLogger,
    disableRequestLogging: true,
    bodyLimit,
    genReqId: () => crypto.randomUUID(),
    forceCloseConnections: 'idle',
  }).withTypeProvider<ZodTypeProvider>()
  server.setValidatorCompiler(validatorCompiler)
  server.setSerializerCompiler(serializerCompiler)
  allowEmptyJson(server)
  await server.register(fastifySwagger, {
    openapi: { openapi: '3.1.0', info: { title: options.title, description: options.description, version: '0.1.0' } },
    transform: jsonSchemaTransform,
  })
  await server.register(fastifySwaggerUi, { routePrefix: '/docs' })
  server.get('/openapi.json', { schema: { hide: true } }, () => server.swagger())
  addErrors(server, options)
  addHealth(server, options)
  addMetrics(server, options)
  return server
}

/** Starts to listen; the answer is the url with the port really taken. @throws PortError */
export async function listen(server: HttpServer, host: string, port: number): Promise<string> {
  try {
    await server.listen({ host, port })
  } catch (error) {
    const { code } = error as { code?: string }
    if (code === 'EADDRINUSE')
      throw new PortError(`Port ${port} on ${host} is in use by another program. Stop it, or set another port.`, error)
    if (code === 'EACCES' || code === 'EADDRNOTAVAIL')
      throw new PortError(`Port ${port} on ${host} cannot be used (${code}). Set another host or port.`, error)
    throw error
  }
  const address = server.server.address() as AddressInfo
  return `http://${host.includes(':') ? `[${host}]` : host}:${address.port}`
}

export class PortError extends Error {
  override readonly name = 'PortError'
  constructor(message: string, cause: unknown) {
    super(message, { cause })
  }
}

/** Clients send `Content-Type: application/json` without a body to routes that need none (contract 1.1, cancel). */
function allowEmptyJson(server: HttpServer): void {
  server.removeContentTypeParser('application/json')
  server.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) => {
    if (body === '') return done(null, undefined)
    try {
      done(null, JSON.parse(body as string))
    } catch (error) {
      done(new ClientError(400, `The body is not JSON: ${(error as Error).message}. Send one JSON object.`))
    }
  })
}

function addErrors(server: HttpServer, { errorBody, name }: HttpServerOptions): void {
  server.setNotFoundHandler((request, reply) =>
    reply
      .code(404)
      .send(
        errorBody(404, `There is no ${request.method} ${request.url.split('?')[0]} here; see /docs for what there is.`),
      ),
  )
  server.setErrorHandler((error: FastifyError | ClientError, request, reply) => {
    const [status, text] = readError(error)
    if (status < 500) return reply.code(status).send(errorBody(status, text))
    request.log.error({ err: error, reqId: request.id }, 'a request failed')
    if (status === 503) void reply.header('Retry-After', '1')
    const shown =
      status === 503 ? text : `${name} failed on this request. Its log has the reason under request id ${request.id}.`
    return reply.code(status).send(errorBody(status, shown))
  })
}

function readError(error: FastifyError | ClientError): [status: number, text: string] {
  if (error instanceof ClientError) return [error.status, error.message]
  if (hasZodFastifySchemaValidationErrors(error))
    return [
      400,
      error.validation.map((issue) => fieldError(issue.instancePath, issue.message, error.validationContext)).join(' '),
    ]
  if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE')
    return [413, `The body is larger than ${bodyLimit} bytes. Send less.`]
  if (error.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE')
    return [415, 'Send the body as JSON, with the header Content-Type: application/json.']
  return [error.statusCode ?? 500, error.message]
}

function fieldError(path: string, message: string | undefined, context: string | undefined): string {
  const field = path.replace(/^\//, '').replaceAll('/', '.')
  const place = field === '' ? `The ${context ?? 'request'}` : `${field}:`
  return `${place} ${message ?? 'is not as expected'}.`.replace('..', '.')
}

function addHealth(server: HttpServer, { parts, log }: HttpServerOptions): void {
  const ask = async (): Promise<Readonly<Record<string, boolean>>> => {
    try {
      return await parts()
    } catch (error) {
      log.warn({ err: error }, 'a readiness check failed')
      return { check: false }
    }
  }
  const failing = (found: Readonly<Record<string, boolean>>): string[] =>
    Object.keys(found).filter((part) => found[part] !== true)
  server.get('/health', { schema: { tags: ['health'] } }, async (_request, reply) => {
    const bad = failing(await ask())
    return bad.length === 0 ? { status: 'healthy' } : reply.code(503).send({ status: 'unhealthy', failing: bad })
  })
  server.get('/health/live', { schema: { tags: ['health'] } }, () => ({ status: 'live' }))
  server.get('/health/ready', { schema: { tags: ['health'] } }, async (_request, reply) => {
    const found = await ask()
    const ready = failing(found).length === 0
    return reply.code(ready ? 200 : 503).send({ status: ready ? 'ready' : 'not ready', parts: found })
  })
}

function addMetrics(server: HttpServer, { name, metrics }: HttpServerOptions): void {
  const registry = new Registry()
  registry.setDefaultLabels({ service: name })
  collectDefaultMetrics({ register: registry })
  metrics?.(registry)
  const seconds = new Histogram({
    name: 'http_request_duration_seconds',
    help: 'How long requests took, by route and status.',
    labelNames: ['method', 'route', 'status'],
    registers: [registry],
  })
  server.addHook('onResponse', (request, reply, done) => {
    const route = request.routeOptions.url ?? 'unknown'
    seconds.observe({ method: request.method, route, status: String(reply.statusCode) }, reply.elapsedTime / 1000)
    done()
  })
  server.get('/metrics', { schema: { tags: ['health'] } }, async (_request, reply) =>
    reply.type(registry.contentType).send(await registry.metrics()),
  )
  server.addHook('onClose', () => {
    registry.clear()
  })
}
