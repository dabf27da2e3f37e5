/**
 * What any route may answer besides its own, on its API page: a page or name that is not ours, a request that cannot be read,
 * a part that is away.
 */
import type { RouteOptions } from 'fastify'
import { z } from 'zod'
import type { ErrorShape } from './error-shapes.ts'
import type { HttpServer } from './server.ts'

/** In the error shape of the route. */
const ofAll: Readonly<Record<number, string>> = {
  403: 'A browser page of an origin that may not call this service, or a user who may not ask this',
  421: 'Asked for under a name that is not ours',
  500: 'Something failed that should not; the text names the request for whoever reports it',
}

const ofBodies: Readonly<Record<number, string>> = {
  413: 'The body is too large',
  415: 'The body is not declared as JSON',
}

/** What the statuses mean with which a route refuses by itself. */
const named = {
  401: 'Nobody whom this service knows',
  404: 'There is no such thing here',
  409: 'It stands in a way in which that cannot be done',
  422: 'The Idempotency-Key was used for another request',
} as const satisfies Readonly<Record<number, string>>

/** Before it is known which route is meant: in the error shape of the server. */
const beforeRoutes: Readonly<Record<number, string>> = {
  408: 'The request took too long to arrive',
  431: 'The address or the headers are too large',
}

/** Before or after that. */
const anywhere: Readonly<Record<number, string>> = {
  400: 'The request does not fit: the text says what is wrong with it',
  429: 'This client has too many connections or streams open: it ends some, or asks again when `Retry-After` says',
  503: 'Not now: a part that is needed is away, or too much is asked for at once. `Retry-After` says when to ask again',
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Statuses with which this route refuses, besides those that any route may answer with. */
    readonly refuses?: readonly (keyof typeof named)[]
  }
}

/** Must come before the first route: it sees only those that come after it. */
export function describeRefusals(server: HttpServer, { schema: ofServer }: ErrorShape): void {
  server.addHook('onRoute', (route) => {
    const own = route.config?.errors?.schema ?? ofServer
    const response: Record<string, unknown> = {}
    const describe = (schema: z.ZodType, answers: Readonly<Record<number, string>>): void => {
      for (const [status, description] of Object.entries(answers))
        response[status] = { description, content: { 'application/json': { schema } } }
    }
    describe(own, { ...ofAll, ...(hasBody(route) ? ofBodies : {}), ...namedBy(route) })
    describe(ofServer, beforeRoutes)
    describe(own === ofServer ? own : z.union([own, ofServer]), anywhere)
    route.schema = { ...route.schema, response: Object.assign(response, route.schema?.response) }
  })
}

const hasBody = ({ method }: RouteOptions): boolean => [method].flat().some((one) => one !== 'GET' && one !== 'HEAD')

const namedBy = ({ config }: RouteOptions): Readonly<Record<number, string>> =>
  Object.fromEntries((config?.refuses ?? []).map((status) => [status, named[status]]))
