/** What suites of the HTTP transport have in common: transports with servers of their own, and peers written by others. */
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, vi } from 'vitest'
import { systemClock } from '../../clock.ts'
import type { Problem } from '../../problem.ts'
import { handClock } from '../hand-clock.testkit.ts'
import type { Message } from '../transport.ts'
import { httpTransport, type HttpTransport, type HttpTransportOptions } from './http-transport.ts'
import { nodeHttpHandler } from './node-http-handler.ts'

export interface Served {
  readonly url: string
  readonly port: number
  close(): Promise<void>
}

export const cleanUps: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

export async function serve(listener: RequestListener, port = 0): Promise<Served> {
  const server: Server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  const taken = (server.address() as AddressInfo).port
  return {
    url: `http://127.0.0.1:${taken}`,
    port: taken,
    async close() {
      server.closeAllConnections()
      if (server.listening) await new Promise((resolve) => server.close(resolve))
    },
  }
}

export const shortPauses = { tries: 5, firstMs: 20, factor: 2, maxMs: 200, jitter: 0 }
export const until = (assertion: () => void | Promise<void>): Promise<void> =>
  vi.waitFor(assertion, { timeout: 20_000, interval: 2 })

/** A transport with its own server; `self` is known only once that listens. */
export async function node(options: Partial<HttpTransportOptions> = {}) {
  const problems: Problem[] = []
  const requests: IncomingMessage[] = []
  let transport: HttpTransport | null = null
  const served = await serve((request, response) => {
    requests.push(request)
    if (transport !== null) nodeHttpHandler(transport)(request, response)
  })
  transport = httpTransport({
    peers: {},
    self: served.url,
    retry: shortPauses,
    onProblem: (problem) => problems.push(problem),
    ...options,
  })
  const made = { transport, served, problems, requests, url: `${served.url}/messages/order_commands` }
  cleanUps.push(async () => {
    await made.transport.close()
    await served.close()
  })
  return made
}

/** What an engine sees: the replies on `order_events`. */
export async function engineFor(peer: string, options: Partial<HttpTransportOptions> = {}) {
  const engine = await node({ peers: { order_commands: peer }, ...options })
  const replies: Message[] = []
  await engine.transport.subscribe('order_events', 'engine', async (batch) => void replies.push(...batch))
  return { ...engine, replies }
}

export const replyOf = (command: Message): Message => ({
  id: `${command.id}:reply`,
  type: 'order.created',
  correlationId: command.correlationId,
  causationId: command.id,
  timestamp: '2025-04-08T03:09:12.000Z',
  source: 'order-service',
  payload: { order_id: '7' },
})

/** Takes commands and answers each at once. */
export async function orderService(options: Partial<HttpTransportOptions> = {}) {
  const service = await node(options)
  const commands: Message[] = []
  await service.transport.subscribe('order_commands', 'orders', async (batch) => {
    commands.push(...batch)
    await service.transport.publish('order_events', batch.map(replyOf))
  })
  return { ...service, commands }
}

/** A server written by somebody else: sees each request with its body and answers as it likes. */
export async function stranger(
  answer: (response: ServerResponse, count: number) => void,
): Promise<Served & { readonly seen: { request: IncomingMessage; body: string }[] }> {
  const seen: { request: IncomingMessage; body: string }[] = []
  const served = await serve((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      seen.push({ request, body: Buffer.concat(chunks).toString() })
      answer(response, seen.length)
    })
  })
  cleanUps.push(() => served.close())
  return { ...served, seen }
}

export const post = (url: string, body: string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(url, { method: 'POST', body, headers: { 'content-type': 'application/json', ...headers } })

export const bare = JSON.stringify({ type: 'create_order', correlation_id: 's1', timestamp: 'now', payload: { a: 1 } })

/** Holds what a transport waits for, but not the time limit of its requests. */
export const waitClock = () => handClock((ms) => ms !== requestMs)
const requestMs = 10_000

/** Holds the wait for a reply; pauses between tries are none. */
export const replyClock = () =>
  handClock(
    (ms) => ms === 2_000,
    (ms, callback) => systemClock.after(ms === requestMs ? ms : 0, callback),
  )
