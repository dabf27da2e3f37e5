/** What stands between a worker and a service in tests: sees each call, and cuts, holds or loses it as it is told. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Passed {
  readonly method: string
  readonly path: string
  readonly key: string | null
  /** The key of what an undo takes back. */
  readonly undoes: string | null
  readonly body: string
}

/**
 * What becomes of a call: it goes through; the service never sees it; it is refused and the service never sees it; the service obeys
 * and its answer is lost; the service obeys, or never sees it, and whoever called waits for as long as it pleases.
 */
export type Fate = 'through' | 'away' | 'refused' | 'lost' | 'held after' | 'held before'

export interface Wire {
  readonly url: string
  /** Every call that came, whatever became of it. */
  readonly passed: readonly Passed[]
  /** From now on; asked for each call. */
  rule(fate: (call: Passed) => Fate): void
  close(): Promise<void>
}

export async function wireTo(target: string): Promise<Wire> {
  const passed: Passed[] = []
  let rule: (call: Passed) => Fate = () => 'through'
  async function pass(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const call = await read(request)
    passed.push(call)
    const fate = rule(call)
    if (fate === 'away') return void response.destroy()
    if (fate === 'held before') return
    if (fate === 'refused') return void answerWith(response, 400, JSON.stringify({ error: 'refused on the wire' }))
    const answer = await fetch(`${target}${call.path}`, {
      method: call.method,
      headers: headersOf(request),
      ...(call.method === 'GET' ? {} : { body: call.body }),
    }).catch(() => null)
    const text = await answer?.text().catch(() => null)
    if (fate === 'held after') return
    if (fate === 'lost' || answer === null || text == null) return void response.destroy()
    answerWith(response, answer.status, text)
  }
  const server = createServer((request, response) => void pass(request, response).catch(() => response.destroy()))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    passed,
    rule: (next) => void (rule = next),
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

const answerWith = (response: ServerResponse, status: number, text: string): unknown =>
  response.writeHead(status, { 'content-type': 'application/json' }).end(text)

async function read(request: IncomingMessage): Promise<Passed> {
  const parts: Buffer[] = []
  for await (const part of request) parts.push(part as Buffer)
  return {
    method: request.method ?? '',
    path: request.url ?? '',
    key: header(request, 'idempotency-key'),
    undoes: header(request, 'ordersaga-undoes'),
    body: Buffer.concat(parts).toString(),
  }
}

const header = (request: IncomingMessage, name: string): string | null => {
  const value = request.headers[name]
  return typeof value === 'string' ? value : null
}

const kept = ['content-type', 'idempotency-key', 'ordersaga-undoes', 'prefer', 'accept']

const headersOf = (request: IncomingMessage): Record<string, string> =>
  Object.fromEntries(
    kept.flatMap((name) => (header(request, name) === null ? [] : [[name, header(request, name) ?? '']])),
  )
