/** For tests: a front door, upstreams that answer as a test wants, and streams read as they come. */
import { createServer, get, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { pino } from 'pino'
import type { OpenService } from '../shared/service.ts'
import { openGateway, type GatewayOptions } from './service.ts'
import type { Place, Upstream } from './upstream.ts'

export const upstreamAt = (url: string, name = 'shop', ...others: readonly Place[]): Upstream => ({
  name,
  title: `The ${name}`,
  does: 'sells',
  url,
  behind: [{ prefix: `/${name}`, kept: false }, ...others],
})

export const openDoor = (upstreams: readonly Upstream[], options: Partial<GatewayOptions> = {}): Promise<OpenService> =>
  openGateway({ host: '127.0.0.1', port: 0, log: pino({ level: 'silent' }), upstreams, ...options })

export interface Answering {
  readonly url: string
  readonly server: Server
  /** Cuts every connection, and takes no further one. */
  close(): Promise<void>
}

export async function answering(handler: RequestListener): Promise<Answering> {
  const server = createServer(handler)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    server,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

export interface Following {
  readonly answer: IncomingMessage
  text(): string
  /** How it ended, once it has. */
  ended(): 'whole' | 'cut' | null
  leave(): void
}

/** Opens a stream on a connection of its own, and reads what comes; resolves with the headers. */
export function follow(url: string, headers: Readonly<Record<string, string>> = {}): Promise<Following> {
  return new Promise((resolve, reject) => {
    const asked = get(url, { agent: false, headers }, (answer) => {
      let text = ''
      let ended: 'whole' | 'cut' | null = null
      answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
      answer.on('error', () => undefined)
      answer.on('close', () => (ended = answer.complete ? 'whole' : 'cut'))
      resolve({ answer, text: () => text, ended: () => ended, leave: () => asked.destroy() })
    })
    asked.on('error', reject)
  })
}
