/** The stream that tells of a delivery as it is completed (docs/wire-contract.md 2.2): whole, cut, read by many. */
import { request, type ClientRequest } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { call } from '../../shared/testing/call.ts'
import { startEmbedded, type Embedded } from '../../shared/testing/embedded.ts'
import { deliveriesOf, eventsIn, type Deliveries, type StreamEvent } from './delivery.testkit.ts'

let system: Embedded
let runner: Deliveries

beforeAll(async () => {
  system = await startEmbedded()
  runner = deliveriesOf(system)
})
afterAll(() => system.close())

const patience = { timeout: 30_000, interval: 5 }

/** The types that move the saga on, in their order. */
const steps = ['update_order_status', 'get_runner_payment_info', 'release_funds', 'funds_released'] as const

interface Stream {
  text(): string
  readonly status: number
  readonly ended: () => boolean
  cut(): void
}

function open(sagaId: string, seen?: number): Promise<Stream> {
  return new Promise((resolve, reject) => {
    const headers = seen === undefined ? {} : { 'last-event-id': String(seen) }
    const asked: ClientRequest = request(runner.streamUrl(sagaId), { agent: false, headers }, (answer) => {
      let text = ''
      let ended = false
      answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
      answer.on('end', () => (ended = true))
      answer.on('error', () => undefined) // cut by us
      resolve({ text: () => text, status: answer.statusCode ?? 0, ended: () => ended, cut: () => asked.destroy() })
    })
    asked.on('error', reject)
    asked.end()
  })
}

const shown = ({ data }: StreamEvent): string => `${data.status} ${data.currentStep}`
const said = (stream: Stream): readonly string[] => eventsIn(stream.text()).map(shown)

describe('whole', () => {
  test('it begins at once with the state now, tells of each change as it comes, and ends with the saga', async () => {
    const orderId = await runner.carried()
    for (const type of steps) system.gate.hold(type)
    const stream = await open(await runner.begin(orderId))
    await expect.poll(() => said(stream), patience).toEqual(['STARTED UPDATE_ORDER_STATUS_TO_DELIVERED'])
    system.gate.release('update_order_status')
    await expect.poll(() => said(stream), patience).toHaveLength(2)
    system.gate.release('get_runner_payment_info')
    await expect.poll(() => said(stream), patience).toHaveLength(3)
    expect(stream.ended()).toBe(false)
    for (const type of steps) system.gate.release(type)
    await expect.poll(() => stream.ended(), patience).toBe(true)
    expect(said(stream)).toEqual([
      'STARTED UPDATE_ORDER_STATUS_TO_DELIVERED',
      'STARTED GET_RUNNER_PAYMENT_INFO',
      'STARTED RELEASE_FUNDS',
      'STARTED UPDATE_ORDER_STATUS_TO_COMPLETED',
      'COMPLETED UPDATE_ORDER_STATUS_TO_COMPLETED',
    ])
  })

  test('each event is an id and one line of compact JSON with the fields of the contract', async () => {
    const answer = await call('GET', runner.streamUrl(await runner.begin(await runner.carried())))
    expect(answer.headers.get('content-type')).toBe('text/event-stream')
    expect(answer.text).toMatch(
      /^(id: \d+\ndata: \{"sagaId":"[^"]+","orderId":"[^"]+","status":"[A-Z]+","currentStep":"[A-Z_]+","updatedAt":"[^"]+"\}\n\n)+$/,
    )
  })

  test('an undo is told as an undo', async () => {
    const told = (await runner.follow(await runner.begin(await runner.carried('cust_release_fails')), 0)).map(shown)
    expect(told.slice(-2)).toEqual(['COMPENSATING UPDATE_ORDER_STATUS_TO_DELIVERED', 'COMPENSATED RELEASE_FUNDS'])
  })

  test('of a saga that nobody knows one event says so, with 200', async () => {
    const answer = await call('GET', runner.streamUrl('no-such-saga'))
    expect([answer.status, answer.text]).toEqual([200, 'data: {"error":"There is no saga no-such-saga."}\n\n'])
  })

  test('one that has ended is told by its last state, and to who has seen that nothing more comes', async () => {
    const id = await runner.begin(await runner.carried())
    await runner.follow(id)
    const told = await runner.follow(id)
    expect(told.map(shown)).toEqual(['COMPLETED UPDATE_ORDER_STATUS_TO_COMPLETED'])
    const again = await call('GET', runner.streamUrl(id), { headers: { 'last-event-id': String(told[0]?.id) } })
    expect([again.status, again.text]).toEqual([204, ''])
  })
})

describe('what changes nothing that is shown', () => {
  /** As one says it who does not know that it has been said. */
  const again = (sagaId: string, number: number): Promise<void> =>
    system.transport.publish('complete_order_events', [
      {
        id: `late-${number}`,
        type: 'runner.payment_info_retrieved',
        correlationId: sagaId,
        timestamp: '',
        payload: {},
      },
    ])
  const seqOf = async (sagaId: string): Promise<number> =>
    ((await call('GET', `${system.urls.deliveries}/ops/sagas/${sagaId}`)).body as { readonly seq: number }).seq

  test('after the end brings nobody back who has seen the end', async () => {
    const sagaId = await runner.begin(await runner.carried())
    const seen = (await runner.follow(sagaId)).at(-1)?.id ?? 0
    await again(sagaId, 1)
    await expect.poll(() => seqOf(sagaId), patience).toBe(seen + 1)
    const resumed = await call('GET', runner.streamUrl(sagaId), { headers: { 'last-event-id': String(seen) } })
    expect([resumed.status, resumed.text]).toEqual([204, ''])
    const late = await call('GET', runner.streamUrl(sagaId), { headers: { 'last-event-id': String(seen - 1) } })
    expect(eventsIn(late.text).map(shown)).toEqual(['COMPLETED UPDATE_ORDER_STATUS_TO_COMPLETED'])
  })

  test('on the way is told to nobody, and no change after it is lost', async () => {
    const orderId = await runner.carried()
    for (const type of steps) system.gate.hold(type)
    const sagaId = await runner.begin(orderId)
    const whole = await open(sagaId)
    await expect.poll(() => said(whole), patience).toHaveLength(1)
    const before = await seqOf(sagaId)
    await again(sagaId, 2)
    await expect.poll(() => seqOf(sagaId), patience).toBe(before + 1)
    const resumed = await open(sagaId, before)
    for (const type of steps) system.gate.release(type)
    await expect.poll(() => whole.ended() && resumed.ended(), patience).toBe(true)
    expect(said(resumed)).toEqual(said(whole).slice(1))
    expect(said(whole)).toHaveLength(5)
  })
})

describe('a Last-Event-ID that we never gave', () => {
  const ask = async (id: string) => {
    const sagaId = await runner.begin(await runner.carried())
    await runner.follow(sagaId)
    return call('GET', runner.streamUrl(sagaId), { headers: { 'last-event-id': id } })
  }

  test.each(['-1', '1.5', 'x', '999999999999999999999999'])('%s is refused with a sentence', async (id) => {
    const { status, body } = await ask(id)
    expect([status, body]).toEqual([400, { error: expect.stringContaining('last-event-id') as string }])
  })

  test('far ahead of a saga that has ended is answered with the end', async () => {
    expect((await ask('1000000000')).status).toBe(204)
  })

  test('that is empty is none', async () => {
    expect(eventsIn((await ask('')).text)).toHaveLength(1)
  })
})

test('cut a hundred times, it loses no change and tells none twice', async () => {
  let cuts = 0
  for (let round = 0; cuts < 100; round++) {
    const orderId = await runner.carried(round % 2 === 0 ? 'cust_123' : 'cust_release_fails')
    for (const type of steps) system.gate.hold(type)
    const sagaId = await runner.begin(orderId)
    const whole = await open(sagaId)
    await expect.poll(() => said(whole), patience).toHaveLength(1)
    const told: StreamEvent[] = []
    for (let turn = 0; ; turn++) {
      const stream = await open(sagaId, told.at(-1)?.id ?? undefined)
      if (stream.status === 204) break
      const step = steps[turn]
      if (step !== undefined) system.gate.release(step)
      await expect.poll(() => stream.ended() || said(stream).length > 0, patience).toBe(true)
      stream.cut()
      cuts += 1
      told.push(...eventsIn(stream.text()))
    }
    for (const type of steps) system.gate.release(type)
    await expect.poll(() => whole.ended(), patience).toBe(true)
    expect(told).toEqual(eventsIn(whole.text()))
  }
})

test('a thousand who read at once are all told of every change, and a further one is told to come later', async () => {
  const orderId = await runner.carried()
  for (const type of steps) system.gate.hold(type)
  const sagaId = await runner.begin(orderId)
  const streams: Stream[] = []
  for (let hundred = 0; hundred < 10; hundred++)
    streams.push(...(await Promise.all(Array.from({ length: 100 }, () => open(sagaId)))))
  expect(streams.filter(({ status }) => status !== 200)).toEqual([])
  const refused = await call('GET', runner.streamUrl(sagaId))
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '5'])
  for (const type of steps) system.gate.release(type)
  await expect.poll(() => streams.filter((stream) => !stream.ended()).length, patience).toBe(0)
  const different = new Set(streams.map((stream) => JSON.stringify(said(stream))))
  expect([...different]).toEqual([
    JSON.stringify([
      'STARTED UPDATE_ORDER_STATUS_TO_DELIVERED',
      'STARTED GET_RUNNER_PAYMENT_INFO',
      'STARTED RELEASE_FUNDS',
      'STARTED UPDATE_ORDER_STATUS_TO_COMPLETED',
      'COMPLETED UPDATE_ORDER_STATUS_TO_COMPLETED',
    ]),
  ])
})
