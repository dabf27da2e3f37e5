/** What the front door adds: the same service asked directly and through it, all of them in one process. */
import { Agent, get, type IncomingMessage } from 'node:http'
import { openHost } from '../tests/kit/hosts.ts'
import { startSystem } from '../tests/kit/system.ts'
import { head, print, row, whole } from './table.ts'

const inFlight = 64

/** At most as many as one orchestrator has at once. */
const streams = 500

const agent = new Agent({ keepAlive: true, maxSockets: inFlight })

/** Resolves with the headers of the answer. */
const ask = (url: string, over: Agent | false): Promise<IncomingMessage> =>
  new Promise((resolve, reject) => {
    get(url, { agent: over }, (answer) => {
      if (answer.statusCode === 200) resolve(answer)
      else reject(new Error(`GET ${url} was answered ${answer.statusCode}`))
    }).on('error', reject)
  })

const read = async (url: string): Promise<unknown> => (await ask(url, agent)).toArray()

async function millisecondsOf(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now()
  await work()
  return performance.now() - began
}

async function measure(service: string, requests: number): Promise<readonly string[]> {
  const request = `${service}/health/live`
  for (let count = 0; count < requests / 4; count += 1) await read(request) // until the code is warm
  const alone: number[] = []
  for (let count = 0; count < requests; count += 1) alone.push(await millisecondsOf(() => read(request)))
  const median = alone.toSorted((a, b) => a - b)[Math.floor(requests / 2)] ?? 0
  let left = requests * 4
  const lane = async (): Promise<void> => {
    while (left-- > 0) await read(request)
  }
  const many = await millisecondsOf(() => Promise.all(Array.from({ length: inFlight }, lane)))
  const open: IncomingMessage[] = []
  const opening = await millisecondsOf(async () => {
    while (open.length < streams) open.push(await ask(`${service}/ops/moves`, false))
  })
  for (const stream of open) stream.destroy()
  return [median.toFixed(2), whole((requests * 4) / (many / 1000)), (opening / streams).toFixed(2)]
}

export async function benchGateway(quick: boolean): Promise<void> {
  const host = await openHost('embedded')
  const system = await startSystem(host)
  try {
    const requests = quick ? 500 : 5_000
    head(['asked', 'one alone, median ms', `requests/s, ${inFlight} in flight`, 'ms to open a stream'])
    row(['directly', ...(await measure(system.url('create-order'), requests))])
    row(['through the front door', ...(await measure(`${system.url('gateway')}/create-order`, requests))])
    print('')
  } finally {
    await system.destroy()
    await host.remove()
  }
}
