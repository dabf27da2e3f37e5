/**
 * Turns whatever goes wrong in a request into an answer in the service's own error shape.
 *
 * Invariant: a client reads only sentences that were written for clients. An error that nobody foresaw goes to the log as it
 * is, and to the client as its request id.
 */
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import type { Socket } from 'node:net'
import { isAway, whyAway } from '../database/errors.ts'
import { undeclared } from './body.ts'
import type { ErrorShape } from './error-shapes.ts'
import { BodyError, HttpError } from './http-error.ts'
import { findingsOf, shapeSentence, type Finding } from './issue.ts'
import type { HttpServer } from './server.ts'

const jsonType = 'application/json; charset=utf-8'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The error shape of this route, where it differs from that of its server. */
    readonly errors?: ErrorShape
  }
}

/** @param signpost says where to look, to who asks for what is not here */
export function answerFailures(server: HttpServer, errors: ErrorShape, signpost: string): void {
  server.setErrorHandler((error: FastifyError, request, reply) => {
    const answer = answerTo(error, request)
    if (answer.status === 500) request.log.error({ err: error }, 'a request failed unexpectedly')
    if (answer instanceof Away)
      request.log.warn({ err: error }, 'the database cannot be used; a request was turned away')
    send(request, reply, answer)
  })
  server.setNotFoundHandler((request, reply) => {
    send(request, reply, new HttpError(404, `there is no ${request.method} ${pathOf(request)} here: ${signpost}`))
  })

  function send(request: FastifyRequest, reply: FastifyReply, answer: HttpError): void {
    const { status, message, retryAfterSeconds } = answer
    if (retryAfterSeconds !== undefined) void reply.header('retry-after', retryAfterSeconds)
    const shape = request.routeOptions.config.errors ?? errors
    const { misshapen } = shape
    const findings = misshapen === undefined ? null : findingsIn(answer)
    if (misshapen === undefined || findings === null) return answerWith(status, shape.body(status, message))
    answerWith(misshapen.status, misshapen.body(findings))

    function answerWith(code: number, body: unknown): void {
      void reply.code(code).serializer(JSON.stringify).type(jsonType).send(body)
    }
  }
}

/** At most 200 characters: it is repeated to the client and in the log. */
export const pathOf = (request: FastifyRequest): string => (request.url.split('?')[0] ?? '').slice(0, 200)

class Away extends HttpError {}

class Misshapen extends HttpError {
  readonly findings: readonly Finding[]

  constructor(text: string, findings: readonly Finding[]) {
    super(400, text)
    this.findings = findings
  }
}

function findingsIn(answer: HttpError): readonly Finding[] | null {
  if (answer instanceof Misshapen) return answer.findings
  if (!(answer instanceof BodyError)) return null
  return [{ at: ['body'], code: 'json', expected: null, isFraction: false, missing: false, text: answer.message }]
}

function answerTo(error: FastifyError, request: FastifyRequest): HttpError {
  if (error instanceof HttpError) return error
  const shape = shapeSentence(error)
  if (shape !== null) return new Misshapen(shape, findingsOf(error) ?? [])
  if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
    const limit = request.routeOptions.bodyLimit ?? request.server.initialConfig.bodyLimit
    return new HttpError(413, `the body is larger than ${limit} bytes, the most that is taken here: send less at once`)
  }
  if (error.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') return new HttpError(415, undeclared)
  // The client hung up in the middle of its body, or was too slow with it: nobody reads this, and nobody here is to blame.
  if (request.raw.destroyed && !request.raw.complete)
    return new HttpError(400, 'the request was cut off before its end: send it again')
  if (isAway(error)) return new Away(503, `${whyAway(error, changesNothing(request))}: send it again in a moment`, 2)
  const status = error.statusCode ?? 500
  // The framework's own complaints about a request (a length that is wrong, a path that cannot be decoded).
  if (status < 500 && error.code?.startsWith('FST_')) return new HttpError(status, error.message)
  return new HttpError(
    500,
    `something failed here that should not; the request may be sent again. Name request ${request.id} when you report it`,
  )
}

const changesNothing = ({ method }: FastifyRequest): boolean => method === 'GET' || method === 'HEAD'

/** Answers an address that cannot be taken apart, before there is a route. */
export function answerUnroutable(errors: ErrorShape) {
  return (error: FastifyError, _request: FastifyRequest, reply: FastifyReply): void => {
    const status = error.statusCode ?? 400
    const text = 'the path cannot be decoded: percent-encode it'
    void reply.code(status).serializer(JSON.stringify).type(jsonType).send(errors.body(status, text))
  }
}

const lingerMs = 1_000

/** Answers what is not HTTP at all, before there is a request. */
export function answerGarbage(errors: ErrorShape) {
  return (error: NodeJS.ErrnoException, socket: Socket): void => {
    if (!socket.writable || error.code === 'ECONNRESET') return void socket.destroy()
    const [status, phrase, text] =
      error.code === 'HPE_HEADER_OVERFLOW'
        ? [431, 'Request Header Fields Too Large', 'the headers are too large: send fewer or shorter ones']
        : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
          ? [408, 'Request Timeout', 'the request took too long to arrive: send it again']
          : [400, 'Bad Request', 'this is not an HTTP request that can be read']
    const body = JSON.stringify(errors.body(Number(status), String(text)))
    // A client that does not end its side would keep the socket for ever; one that does has read the answer long before.
    setTimeout(() => socket.destroy(), lingerMs).unref()
    socket.end(
      `HTTP/1.1 ${status} ${phrase}\r\nContent-Type: ${jsonType}\r\n` +
        `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
    )
  }
}
