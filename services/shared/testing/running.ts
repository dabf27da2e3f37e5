/** For tests of services: one running on a fresh database and an in-process transport, with its HTTP and its messages. */
import { pino } from 'pino'
import { memoryTransport } from 'ordersaga/transports/memory'
import type { DatabaseTarget } from '../database/database.ts'
import type { OpenService, ServiceOptions } from '../service.ts'
import { asker, type Asker } from './ask.ts'

/** A fresh database, with what removes it. */
export interface Place {
  readonly target: DatabaseTarget
  readonly remove?: () => Promise<void>
}

export type NewPlace = () => Promise<Place>

interface Answer {
  readonly status: number
  /** The body as JSON. */
  readonly body: unknown
}

export interface Running extends Asker {
  readonly service: OpenService
  get(path: string): Promise<Answer>
  send(
    method: 'POST' | 'PUT' | 'DELETE',
    path: string,
    body?: unknown,
    headers?: Readonly<Record<string, string>>,
  ): Promise<Answer>
  close(): Promise<void>
}

export async function running(
  place: Place,
  participant: string,
  start: (options: ServiceOptions) => Promise<OpenService>,
  now: () => number = Date.now,
): Promise<Running> {
  const transport = memoryTransport()
  const service = await start({
    database: place.target,
    transport,
    host: '127.0.0.1',
    port: 0,
    log: pino({ level: 'silent' }),
    now,
  })
  const request = async (path: string, init: RequestInit): Promise<Answer> => {
    const response = await fetch(`${service.url}${path}`, init)
    return { status: response.status, body: await response.json() }
  }
  const asking = await asker(transport, participant)
  service.begin()
  return {
    ...asking,
    service,
    get: (path) => request(path, {}),
    send: (method, path, body, headers = {}) =>
      request(path, {
        method,
        headers: { ...headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }),
    async close() {
      await service.close()
      await transport.close()
    },
  }
}
