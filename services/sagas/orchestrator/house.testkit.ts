/** For tests of the shell: the table saga's service with a participant that answers as it is told, and what it logs. */
import { done, handle, participant, rejected, type Answer } from 'ordersaga/participant'
import { memoryInbox } from 'ordersaga/participant/memory-inbox'
import { memoryStore } from 'ordersaga/stores/memory'
import type { Message } from 'ordersaga/transport'
import { memoryTransport } from 'ordersaga/transports/memory'
import { pino } from 'pino'
import { expect } from 'vitest'
import { call, type Answered, type Asked } from '../../shared/testing/call.ts'
import { logOptions } from '../../shared/log/log.ts'
import { free, hold, openTableService, tell } from './table.testkit.ts'

type Say = 'done' | 'rejected' | 'nothing'

export interface House {
  readonly url: string
  /** How each command is answered from now on; `nothing` drops what comes: it is sent again. */
  readonly say: Record<'hold' | 'free' | 'tell', Say>
  /** Lines of the log, parsed. */
  readonly lines: readonly Readonly<Record<string, unknown>>[]
  call(method: string, path: string, asked?: Asked): Promise<Answered>
  /** Holds a table; gives the saga's id. */
  start(guest?: string): Promise<string>
  /** Waits until the saga has this status. */
  reaches(status: string, id: string): Promise<void>
  close(): Promise<void>
}

export async function openHouse(): Promise<House> {
  const transport = memoryTransport()
  const say: House['say'] = { hold: 'done', free: 'done', tell: 'done' }
  const lines: Readonly<Record<string, unknown>>[] = []
  const log = pino(logOptions('table', 'info'), {
    write: (line: string) => void lines.push(JSON.parse(line) as Readonly<Record<string, unknown>>),
  })
  function answer<Data>(type: keyof typeof say, data: Data): Answer<Data> {
    return say[type] === 'done' ? done(data) : rejected(`no ${type}`)
  }
  const house = await participant({
    name: 'house',
    source: 'house-service',
    inbox: memoryInbox(),
    handlers: [
      handle(hold, async () => answer('hold', { table: 7 })),
      handle(free, async () => answer('free', {})),
      handle(tell, async () => answer('tell', { secret: 'the wifi password' })),
    ],
    onProblem: () => undefined,
  }).attach(losing(transport, say))
  const options = { store: memoryStore(), transport, host: '127.0.0.1', port: 0, log }
  const service = await openTableService(options)
  const { url } = service
  const ask: House['call'] = (method, path, asked) => call(method, url + path, asked)
  return {
    url,
    say,
    lines,
    call: ask,
    async start(guest = 'ada') {
      const { status, body } = await ask('POST', '/tables', { json: { guest } })
      expect(status).toBe(201)
      return (body as { readonly id: string }).id
    },
    async reaches(status, id) {
      const now = async () => ((await ask('GET', `/sagas/${id}`)).body as { readonly status: string }).status
      await expect.poll(now, { timeout: 10_000, interval: 10 }).toBe(status)
    },
    async close() {
      await service.close()
      await house.close()
      await transport.close()
    },
  }
}

/** A transport that loses commands of a type while nothing is to be said to them. */
function losing(inner: ReturnType<typeof memoryTransport>, say: House['say']): ReturnType<typeof memoryTransport> {
  const quiet = ({ type }: Message): boolean => say[type as keyof typeof say] === 'nothing'
  return {
    ...inner,
    publish: (channel, messages) => inner.publish(channel, messages),
    subscribe: (channel, group, handler) =>
      inner.subscribe(channel, group, (batch) => handler(batch.filter((message) => !quiet(message)))),
  }
}
