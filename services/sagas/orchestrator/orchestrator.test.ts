/** The shell, by a second saga that has nothing but its definition, its words and its paths. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openHouse, type House } from './house.testkit.ts'

let house: House
beforeAll(async () => {
  house = await openHouse()
})
beforeEach(() => void Object.assign(house.say, { hold: 'done', free: 'done', tell: 'done' }))
afterAll(() => house.close())

const eventsIn = (text: string): readonly (readonly [id: number | null, data: Record<string, unknown>])[] =>
  text
    .split('\n\n')
    .filter((block) => block !== '' && block !== ':')
    .map((block) => {
      const [, id, data] = /^(?:id: (\d+)\n)?data: (.+)$/.exec(block) ?? []
      return [id === undefined ? null : Number(id), JSON.parse(data ?? '') as Record<string, unknown>]
    })

test('a further service costs at most 250 lines', () => {
  const lines = readFileSync(join(import.meta.dirname, 'table.testkit.ts'), 'utf8').split('\n')
  expect(lines.length).toBeLessThan(250)
})

test('it starts, shows and lists sagas in the words of its presenter', async () => {
  const id = await house.start('grace')
  await house.reaches('COMPLETED', id)
  const saga = { id, guest: 'grace', status: 'COMPLETED' }
  expect((await house.call('GET', `/sagas/${id}`)).body).toEqual({ ...saga, table: 7 })
  expect((await house.call('GET', '/sagas?guest=grace')).body).toEqual([saga])
  expect((await house.call('GET', '/sagas?guest=nobody')).body).toEqual([])
})

describe('an idempotency key', () => {
  const start = (guest: string, key: string) =>
    house.call('POST', '/tables', { json: { guest }, headers: { 'idempotency-key': key } })

  test('gives the same saga to who asks again', async () => {
    const [one, other] = [await start('ada', 'k'), await start('ada', 'k')]
    expect([one.status, one.body]).toEqual([201, other.body])
  })

  test('belongs to who asks: another under the same key gets a saga of their own, and hears of no other', async () => {
    const [one, other] = [await start('ada', 'shared'), await start('eve', 'shared')]
    expect([one.status, other.status]).toEqual([201, 201])
    expect(other.body).not.toEqual(one.body)
    const again = await start('eve', 'shared')
    expect(again.body).toEqual(other.body)
  })
})

describe('the stream of states', () => {
  test('tells the present state at once, then what follows, and ends with the saga', async () => {
    house.say.tell = 'nothing'
    const id = await house.start()
    await expect.poll(async () => (await house.call('GET', `/sagas/${id}`)).text).toContain('"table":7')
    const answer = await fetch(`${house.url}/tables/${id}/stream`)
    const text = answer.text()
    expect((await house.call('POST', `/sagas/${id}/cancel`)).status).toBe(202)
    house.say.tell = 'rejected'
    const told = eventsIn(await text)
    expect(told[0]?.[1]).toEqual({ id, guest: 'ada', status: 'STARTED', table: 7 })
    expect(told.at(-1)?.[1]).toMatchObject({ status: 'CANCELLED' })
    expect(told.map(([seq]) => seq)).toEqual(told.map(([seq]) => seq).toSorted((a, b) => Number(a) - Number(b)))
  }, 20_000)

  test('tells one event of a saga that is not there, with 200', async () => {
    const { status, text } = await house.call('GET', '/tables/nowhere/stream')
    expect([status, eventsIn(text)]).toEqual([200, [[null, { error: 'There is no table nowhere.' }]]])
  })

  test('has nothing more for who has seen the end', async () => {
    const id = await house.start()
    await house.reaches('COMPLETED', id)
    const all = eventsIn((await house.call('GET', `/tables/${id}/stream`)).text)
    expect(all.map(([, data]) => data['status'])).toEqual(['COMPLETED'])
    const headers = { 'last-event-id': String(all[0]?.[0]) }
    expect((await house.call('GET', `/tables/${id}/stream`, { headers })).status).toBe(204)
  })
})

describe('the stream of moves', () => {
  test.each([0, 1_000_000])(
    'opened at move %d of a saga that waits, has its headers at once',
    async (ahead) => {
      house.say.hold = 'nothing'
      const id = await house.start()
      const answer = await fetch(`${house.url}/tables/${id}/moves`, { headers: { 'last-event-id': String(1 + ahead) } })
      expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'text/event-stream'])
      const text = answer.text()
      await house.call('POST', `/sagas/${id}/cancel`)
      // What is outstanding is settled first: the house refuses it.
      house.say.hold = 'rejected'
      await house.reaches('CANCELLED', id)
      const told = eventsIn(await text)
      expect(told.at(-1)?.[1]).toMatchObject({ status: 'CANCELLED' })
    },
    20_000,
  )
})

describe('the log', () => {
  const linesOf = (id: string) => house.lines.filter(({ sagaId, what }) => sagaId === id && Array.isArray(what))

  test('has a line for each move, with saga, step, what happened and the trace', async () => {
    const id = await house.start()
    await house.reaches('COMPLETED', id)
    const lines = linesOf(id)
    expect(lines.map(({ seq }) => seq)).toEqual(lines.map((_, index) => index + 1))
    expect(lines[0]).toMatchObject({
      level: 30,
      sagaId: id,
      traceId: id.replaceAll('-', ''),
      definition: 'table',
      status: 'STARTED',
      step: 'hold',
      what: ['SagaStarted', 'StepAsked'],
      msg: 'saga started, hold asked',
    })
    expect(lines.at(-1)).toMatchObject({
      status: 'COMPLETED',
      msg: expect.stringMatching(/^tell done.*saga completed$/),
    })
    expect(JSON.stringify(house.lines)).not.toContain('wifi')
  })

  test('names the saga in the line of the request that started it', async () => {
    const id = await house.start()
    await expect
      .poll(() => house.lines.find(({ path, sagaId }) => path === '/tables' && sagaId === id))
      .toMatchObject({ status: 201 })
  })

  test('tells of a parked saga at error, with the step and why', async () => {
    Object.assign(house.say, { tell: 'rejected', free: 'rejected' })
    const id = await house.start()
    await house.reaches('PARKED', id)
    expect(linesOf(id).at(-1)).toMatchObject({
      level: 50,
      status: 'PARKED',
      step: 'hold',
      reason: expect.stringContaining('no free'),
    })
  })
})

test('metrics count what became of sagas and steps, and what waits where', async () => {
  const figure = async (line: string): Promise<number> => {
    const { text } = await house.call('GET', '/metrics')
    const found = text.split('\n').find((each) => each.startsWith(`${line} `))
    return Number(found?.split(' ')[1] ?? 0)
  }
  const ended = 'ordersaga_sagas_ended_total{definition="table",status="COMPLETED"}'
  const before = [await figure('ordersaga_sagas_started_total{definition="table"}'), await figure(ended)] as const
  await house.reaches('COMPLETED', await house.start())
  expect(await figure('ordersaga_sagas_started_total{definition="table"}')).toBe(before[0] + 1)
  expect(await figure(ended)).toBe(before[1] + 1)
  const told = 'ordersaga_step_duration_seconds_count{definition="table",step="tell",outcome="done"}'
  expect(await figure(told)).toBeGreaterThan(0)

  const parked = await figure('ordersaga_parked_sagas{definition="table"}')
  Object.assign(house.say, { tell: 'rejected', free: 'rejected' })
  await house.reaches('PARKED', await house.start())
  expect(await figure('ordersaga_parked_sagas{definition="table"}')).toBe(parked + 1)
  expect(await figure('ordersaga_sagas_parked_total{definition="table",step="hold"}')).toBeGreaterThan(0)
  expect(await figure('ordersaga_step_retries_total{definition="table",step="hold",direction="undo"}')).toBeGreaterThan(
    0,
  )

  house.say.hold = 'nothing'
  await house.start()
  expect(await figure('ordersaga_waiting_sagas{definition="table",step="hold",direction="do"}')).toBeGreaterThan(0)
  expect(await figure('ordersaga_batched_inputs_total')).toBeGreaterThanOrEqual(await figure('ordersaga_batches_total'))
})
