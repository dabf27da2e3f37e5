/** The front door, on 3000: one origin for browsers and for whoever types curl lines, with all services behind it. */
import { z } from 'zod'
import { connectionsOfProcess } from '../shared/http/connections.ts'
import { listen } from '../shared/http/listen.ts'
import { errorShape } from '../shared/http/error-shapes.ts'
import { Problem, problemBody } from '../shared/http/problem.ts'
import { createHttpServer } from '../shared/http/server.ts'
import type { OpenService, ServerOptions } from '../shared/service.ts'
import { InHand } from './in-hand.ts'
import { passOn, type ProxyOptions } from './proxy.ts'
import { gatewayRoutes } from './routes.ts'
import { surveyOf } from './survey.ts'
import type { Upstream } from './upstream.ts'

export interface GatewayOptions extends ServerOptions, Pick<ProxyOptions, 'answerMs'> {
  readonly upstreams: readonly Upstream[]
  /** How many requests and streams are passed on at once; half as many as there may be connections where none is given. */
  readonly inHand?: InHand
}

const body = (status: number, text: string) => ({ ...problemBody(status, text), error: text })

/** Clients of the services behind read `error`, whatever else is there. */
const errors = errorShape(
  Problem.extend({ error: z.string() }).meta({ example: body(404, 'there is no GET /nowhere here') }),
  body,
)

export async function openGateway({ upstreams, ...options }: GatewayOptions): Promise<OpenService> {
  const { log, host, port, answerMs, callers } = options
  const survey = surveyOf(upstreams)
  const prefixes = upstreams.flatMap(({ behind }) => behind.map(({ prefix }) => `${prefix}/…`))
  const server = await createHttpServer({
    title: 'Front door',
    description: 'Passes requests on to the services behind it, and tells how each of them is.',
    version: '1.0.0',
    log,
    errors,
    signpost: `behind this front door are ${prefixes.join(', ')}; / shows them`,
    ready: async () => Object.fromEntries(Object.entries(await survey()).map(([name, { ready }]) => [name, ready])),
    ...(callers === undefined ? {} : { callers }),
  })
  gatewayRoutes(server, upstreams, survey)
  await passOn(server, {
    upstreams,
    inHand: options.inHand ?? new InHand(half(connectionsOfProcess().limits)),
    ...(answerMs === undefined ? {} : { answerMs }),
  })
  const url = await listen(server, host, port, 'GATEWAY_PORT')
  log.info({ url }, 'ready: requests are passed on')
  return { name: 'gateway', url, begin: () => undefined, close: () => server.close() }
}

/** Each that is passed on has a second connection, to the upstream, and in one process that one's end too. */
const half = ({ most, perClient }: { readonly most: number; readonly perClient: number }) => ({
  most: Math.floor(most / 2),
  perClient: Math.floor(perClient / 2),
})
