/**
 * The HTTP server that every service stands on: routes typed by zod, an OpenAPI page, health, metrics, request logs, errors
 * in the service's own shape, an end that lets requests in hand finish.
 *
 * What a service adds are its routes. Nothing here knows one of them.
 */
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import { fastify, LogController, type FastifyInstance, type FastifyRequest, type RawServerDefault } from 'fastify'
import {
  jsonSchemaTransform,
  jsonSchemaTransformObject,
  serializerCompiler,
  validatorCompiler,
  type ZodTypeProvider,
} from 'fastify-type-provider-zod'
import { randomUUID } from 'node:crypto'
import { maxHeaderSize, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Logger } from 'pino'
import { Registry } from 'prom-client'
import { askForTokens } from '../auth/access.ts'
import type { CallerOptions } from '../auth/caller.ts'
import { readJsonBodies } from './body.ts'
import { refuseForeignPages, type Callers, type OpenPath } from './callers.ts'
import { closeInOrder } from './closing.ts'
import { connectionsOfProcess, type Connections } from './connections.ts'
import type { ErrorShape } from './error-shapes.ts'
import { answerFailures, answerGarbage, answerUnroutable } from './failures.ts'
import { serveHealth, type Ready } from './health.ts'
import { HttpError } from './http-error.ts'
import { serveMetrics } from './metrics.ts'
import { allowOrigins, knownPages } from './origins.ts'
import { describeRefusals } from './refusals.ts'
import { logRequests } from './request-log.ts'
import { turn } from '../turns.ts'

export type HttpServer = FastifyInstance<RawServerDefault, IncomingMessage, ServerResponse, Logger, ZodTypeProvider>

declare module 'fastify' {
  interface FastifyContextConfig {
    /** It costs next to nothing, and is answered before all that waits for its turn. */
    readonly isUrgent?: true
  }
}

export interface HttpServerOptions {
  /** Of the OpenAPI page. */
  readonly title: string
  readonly version: string
  readonly description: string
  /** Names the service in each line already. */
  readonly log: Logger
  readonly ready: Ready
  readonly errors: ErrorShape
  /** What is said, after "there is no GET /x here", to who asks for that; that `/docs` lists what there is where none is given. */
  readonly signpost?: string
  /** In bytes; 1 MiB where none is given. */
  readonly bodyLimit?: number
  /** How long a request may take to arrive whole, in milliseconds; 30 s where none is given. */
  readonly arrivalMs?: number
  /** How long a client may leave an answer unread, in milliseconds; 30 s where none is given. */
  readonly unreadMs?: number
  /** Origins of browser pages that may read every answer; none where none is given. */
  readonly allowedOrigins?: readonly string[]
  /** What browsers may call this server, and for which pages, besides those that are always ours. */
  readonly callers?: Callers
  /** How it is found out who asks a route that is not `for` everybody; nobody is asked for a token where none is given. */
  readonly access?: CallerOptions
  /** Paths that pages of every origin may ask for; none where none are given. */
  readonly isOpen?: OpenPath
  /** Those of the process where none are given. */
  readonly connections?: Connections
  /** Served under `/metrics`; a new one where none is given. */
  readonly metrics?: Registry
}

const defaultArrivalMs = 30_000

const defaultUnreadMs = 30_000

const defaultBodyLimit = 1_048_576

export async function createHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const arrivalMs = options.arrivalMs ?? defaultArrivalMs
  const server: HttpServer = fastify({
    loggerInstance: options.log,
    // One line of our own for each request, when it is answered.
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'requestId' }),
    bodyLimit: options.bodyLimit ?? defaultBodyLimit,
    requestTimeout: arrivalMs,
    // One that trickles in, headers or body, holds a socket no longer than that, and a second.
    http: { headersTimeout: arrivalMs, requestTimeout: arrivalMs, connectionsCheckingInterval: 1_000 },
    genReqId: () => randomUUID(),
    return503OnClosing: false,
    clientErrorHandler: answerGarbage(options.errors),
    frameworkErrors: answerUnroutable(options.errors),
    // What a part of the path may be is said by its route. A whole one is never longer than headers may be.
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: maxHeaderSize },
  }).withTypeProvider<ZodTypeProvider>()
  server.setValidatorCompiler(validatorCompiler)
  server.setSerializerCompiler(serializerCompiler)

  const connections = options.connections ?? connectionsOfProcess()
  connections.watch(server)
  endUnread(server, options.unreadMs ?? defaultUnreadMs)
  readJsonBodies(server)
  answerFailures(server, options.errors, options.signpost ?? '/docs lists what there is')
  logRequests(server)
  guardRequests(server)
  const { hosts, origins } = options.callers ?? { hosts: [], origins: [] }
  const readers = [...(options.allowedOrigins ?? []), ...origins]
  const { isOpen } = options
  refuseForeignPages(server, { hosts, origins: [...knownPages, ...readers] }, isOpen ?? (() => false))
  const isClosing = closeInOrder(server, connections)
  // Last: what comes before the end of the server has come, however long it waits for its turn.
  server.addHook('onRequest', async ({ routeOptions }) => {
    if (routeOptions.config.isUrgent !== true) await turn()
  })
  if (readers.length > 0 || isOpen !== undefined) allowOrigins(server, readers, isOpen)
  askForTokens(server, options.access)
  describeRefusals(server, options.errors)
  await describeRoutes(server, options)
  serveHealth(server, options.ready, isClosing)
  serveMetrics(server, options.metrics ?? new Registry())
  return server
}

/** Headers of every answer, and requests that no route should see. */
function guardRequests(server: HttpServer): void {
  server.addHook('onRequest', async (request, reply) => {
    void reply.header('x-request-id', request.id).header('x-content-type-options', 'nosniff')
    if (/%00/.test(request.url)) throw new HttpError(400, 'the address holds a NUL character: leave it out')
  })
}

/** A client that does not read holds its socket, and in our memory what it was to read. A stream with nothing to say may wait. */
function endUnread({ server }: HttpServer, ms: number): void {
  server.setTimeout(ms, (socket) => {
    if (socket.writableLength > 0) socket.destroy()
  })
}

/** Must come before the first route: it sees only those that come after it. */
async function describeRoutes(server: HttpServer, { title, version, description }: HttpServerOptions): Promise<void> {
  await server.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title, version, description },
      components: {
        securitySchemes: {
          service: { type: 'http', scheme: 'bearer' },
          user: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
        },
      },
    },
    transform: jsonSchemaTransform,
    transformObject: jsonSchemaTransformObject,
  })
  await server.register(swaggerUi, { routePrefix: '/docs', staticCSP: true, transformSpecification: whereAsked })
  server.get('/openapi.json', { schema: { hide: true } }, async (request) => whereAsked(server.swagger(), request))
}

/** Of a page behind a front door that removes a part of the path: what is tried from that page has to have it again. */
function whereAsked<Page extends object>(page: Page, { headers }: FastifyRequest): Page {
  const prefix = headers['x-forwarded-prefix']
  return typeof prefix === 'string' && /^(\/[\w-]+)+$/.test(prefix) ? { ...page, servers: [{ url: prefix }] } : page
}
