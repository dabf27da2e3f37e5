/** The operator's API, over the table saga: what is shown, what an action would do and does, one by one and for many. */
import { Ajv2020 } from 'ajv/dist/2020.js'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openHouse, type House } from '../house.testkit.ts'

let house: House
beforeAll(async () => {
  house = await openHouse()
})
beforeEach(() => void Object.assign(house.say, { hold: 'done', free: 'done', tell: 'done' }))
afterAll(() => house.close())

const get = async (path: string) => (await house.call('GET', `/ops${path}`)).body
const post = (path: string, json: object) => house.call('POST', `/ops${path}`, { json })
const because = { by: 'jane', reason: 'the house is mended' }

/** One whose undo was refused until it was given up. */
async function parked(guest: string): Promise<string> {
  Object.assign(house.say, { tell: 'rejected', free: 'rejected' })
  const id = await house.start(guest)
  await house.reaches('PARKED', id)
  Object.assign(house.say, { tell: 'done', free: 'done' })
  return id
}

interface ListBody {
  readonly items: readonly { readonly id: string }[]
  readonly next: string | null
}

describe('what is shown', () => {
  test('definitions with their structure and how many sagas run under each', async () => {
    const live = async () => ((await get('/definitions')) as { items: { live: number }[] }).items[0]?.live ?? 0
    const before = await live()
    await parked('live')
    expect(await get('/definitions')).toMatchObject({
      items: [
        {
          definition: 'table',
          version: 1,
          live: before + 1,
          cancellable: false,
          structure: {
            steps: [
              { name: 'hold', stage: 0 },
              { name: 'tell', place: 'pivot' },
            ],
          },
        },
      ],
    })
  })

  test('sagas by status, business key and time, in pages that follow on each other', async () => {
    const ids = []
    for (let count = 0; count < 3; count += 1) ids.push(await house.start('pages'))
    for (const id of ids) await house.reaches('COMPLETED', id)
    const first = (await get('/sagas?key=pages&limit=2')) as ListBody
    const second = (await get(`/sagas?key=pages&limit=2&after=${first.next}`)) as ListBody
    expect([...first.items, ...second.items].map(({ id }) => id)).toEqual(ids.toReversed())
    expect(second.next).toBeNull()
    expect(await get('/sagas?key=pages&status=PARKED')).toEqual({ items: [], damaged: [], next: null })
    expect(await get('/sagas?key=pages&definition=other')).toMatchObject({ items: [] })
    expect(await get('/sagas?key=pages&before=2000-01-01T00:00:00Z')).toMatchObject({ items: [] })
    expect(((await get('/sagas?key=pages&from=2000-01-01T00:00:00Z')) as ListBody).items).toHaveLength(3)
  })

  test('how many there are in each status', async () => {
    await house.reaches('COMPLETED', await house.start('counted'))
    await parked('counted')
    expect(await get('/counts?key=counted')).toEqual({
      counts: {
        COMPLETED: 1,
        PARKED: 1,
        STARTED: 0,
        FAILED: 0,
        COMPENSATING: 0,
        COMPENSATED: 0,
        CANCELLING: 0,
        CANCELLED: 0,
      },
      total: 2,
    })
  })

  test('one that waits, with what is outstanding, ahead, to be undone, and when it is woken and why', async () => {
    house.say.hold = 'nothing'
    const id = await house.start('waits')
    expect(await get(`/sagas/${id}`)).toMatchObject({
      id,
      status: 'STARTED',
      key: 'waits',
      waits: ['hold'],
      input: { guest: 'waits' },
      steps: [{ step: 'hold' }],
      plan: {
        ahead: ['tell'],
        undo: [{ step: 'hold', command: 'free', certain: false }],
        wakeUps: [{ step: 'hold', why: expect.stringContaining('hold') }],
      },
    })
  })

  test('one that is parked, with why', async () => {
    const id = await parked('why')
    expect(await get(`/sagas/${id}`)).toMatchObject({
      status: 'PARKED',
      waits: ['hold'],
      reason: expect.stringContaining('no free'),
      plan: { outstanding: [], undo: [{ step: 'hold', command: 'free', certain: true }], wakeUps: [] },
    })
  })

  test('its history, without what is for the saga alone', async () => {
    const id = await house.start('told')
    await house.reaches('COMPLETED', id)
    const { text } = await house.call('GET', `/ops/sagas/${id}/history`)
    const { items, next } = JSON.parse(text) as { items: { seq: number; events: { type: string }[] }[]; next: null }
    expect([items.map(({ seq }) => seq), next]).toEqual([items.map((_, index) => index + 1), null])
    expect(items.flatMap(({ events }) => events)).toContainEqual({ type: 'StepDone', step: 'tell', reply: null })
    expect(text).not.toContain('wifi')
  })

  test.each([
    ['GET', '/sagas/nowhere'],
    ['GET', '/sagas/nowhere/history'],
    ['GET', '/sagas/nowhere/audit'],
    ['POST', '/sagas/nowhere/preview'],
    ['POST', '/sagas/nowhere/actions'],
  ])('%s %s is a problem with status 404', async (method, path) => {
    const asked = method === 'GET' ? {} : { json: { action: { kind: 'retry' }, ...because } }
    const answer = await house.call(method, `/ops${path}`, asked)
    const problem = { type: 'about:blank', title: 'Not Found', status: 404, detail: 'There is no saga nowhere.' }
    expect([answer.status, answer.body]).toEqual([404, problem])
  })

  test.each(['/sagas?status=parked', '/sagas?after=x', '/sagas?from=yesterday', '/moves?after=x'])(
    '%s is a problem with status 400',
    async (path) => expect(await get(path)).toMatchObject({ status: 400, title: 'Bad Request' }),
  )
})

describe('actions', () => {
  const retry = { action: { kind: 'retry' }, ...because }

  test('a preview says what the action then does, and changes nothing', async () => {
    const id = await parked('preview')
    const before = await get(`/sagas/${id}`)
    const preview = (await post(`/sagas/${id}/preview`, retry)).body as { events: object[]; plan: object }
    expect(preview).toMatchObject({
      accepted: true,
      refused: null,
      status: 'COMPENSATING',
      plan: { outstanding: [{ step: 'hold', direction: 'undo', type: 'free', attempt: 1 }] },
    })
    expect(await get(`/sagas/${id}`)).toEqual(before)

    const done = await post(`/sagas/${id}/actions`, retry)
    expect([done.status, done.body]).toMatchObject([202, { status: 'COMPENSATING' }])
    await house.reaches('COMPENSATED', id)
    const { items } = (await get(`/sagas/${id}/history`)) as { items: { cause: string; events: object[] }[] }
    // Times differ: it was looked at before it was done.
    const types = (events: object[] | undefined) => events?.map((event) => ({ ...event, until: 0 }))
    expect(types(items.find(({ cause }) => cause.startsWith('retry:'))?.events)).toEqual(types(preview.events))
  })

  test('what does not fit is refused with 409, and who tried is in the log', async () => {
    const id = await house.start('over')
    await house.reaches('COMPLETED', id)
    expect((await post(`/sagas/${id}/preview`, retry)).body).toMatchObject({
      accepted: false,
      refused: 'it is not parked but COMPLETED',
    })
    const answer = await post(`/sagas/${id}/actions`, retry)
    expect([answer.status, answer.body]).toMatchObject([409, { detail: 'it is not parked but COMPLETED' }])
    expect(house.lines).toContainEqual(
      expect.objectContaining({ sagaId: id, action: 'retry', ...because, accepted: false }),
    )
    expect(await get(`/sagas/${id}/audit`)).toMatchObject({
      items: [{ what: 'retry', by: because.by, why: because.reason, accepted: false }],
    })
  })

  test.each(['/ops', ''])('who asks for a saga that there is not by %s/sagas is in the log too', async (prefix) => {
    const by = `jim of '${prefix}'`
    const answer = await house.call('POST', `${prefix}/sagas/nowhere/actions`, { json: { ...retry, by } })
    expect(answer.status).toBe(404)
    expect(house.lines).toContainEqual(
      expect.objectContaining({
        sagaId: 'nowhere',
        action: 'retry',
        by,
        accepted: false,
        refused: 'There is no saga nowhere.',
      }),
    )
  })

  test('who did what, when and why is kept with the saga', async () => {
    const id = await parked('audit')
    await post(`/sagas/${id}/actions`, { action: { kind: 'resolve', reply: {} }, by: 'joe', reason: 'guess' })
    await post(`/sagas/${id}/actions`, { action: { kind: 'giveUp' }, ...because })
    expect(await get(`/sagas/${id}/audit`)).toEqual({
      items: [
        expect.objectContaining({
          what: 'resolve',
          by: 'joe',
          why: 'guess',
          accepted: false,
          refused: expect.stringContaining('unknown'),
        }),
        {
          seq: expect.any(Number),
          at: expect.stringMatching(/Z$/),
          what: 'giveUp',
          by: 'jane',
          why: 'the house is mended',
          accepted: true,
          refused: null,
        },
      ],
    })
    expect(await get(`/sagas/${id}`)).toMatchObject({ status: 'FAILED', leftBehind: ['hold'] })
  })

  test('a cancel is an action like the others', async () => {
    house.say.hold = 'nothing'
    const id = await house.start('cancelled')
    const cancel = { action: { kind: 'cancel' }, by: 'jane', reason: 'the house burns' }
    expect((await post(`/sagas/${id}/preview`, cancel)).body).toMatchObject({ accepted: true, status: 'CANCELLING' })
    expect((await post(`/sagas/${id}/actions`, cancel)).status).toBe(202)
    house.say.hold = 'done'
    await house.reaches('CANCELLED', id)
    expect(await get(`/sagas/${id}/audit`)).toMatchObject({
      items: [{ what: 'cancel', by: 'jane', why: 'the house burns', accepted: true }],
    })
  })

  test.each([
    [{ ...because }, 'action'],
    [{ action: { kind: 'destroy' }, ...because }, 'action'],
    [{ action: { kind: 'retry' }, reason: 'r' }, 'by'],
    [{ action: { kind: 'retry' }, by: 'jane', reason: '' }, 'reason'],
  ])('%j is refused with 400', async (body, about) => {
    const answer = await post('/sagas/any/actions', body)
    expect([answer.status, answer.body]).toMatchObject([400, { detail: expect.stringContaining(about) }])
  })
})

describe('for many', () => {
  test('each that a filter finds is looked at, then acted on, page by page, and each keeps its record', async () => {
    const ids = [await parked('many'), await parked('many'), await parked('many')]
    const filter = { definition: 'table', status: 'PARKED', key: 'many' }
    const asked = { action: { kind: 'retry' }, ...because, filter, limit: 2 }
    const preview = (await post('/preview', asked)).body as { results: { id: string }[]; next: string }
    expect(preview).toMatchObject({ total: 3, results: [{ accepted: true }, { accepted: true }] })
    expect(preview.results.map(({ id }) => id)).toEqual(ids.toReversed().slice(0, 2))

    const first = (await post('/actions', asked)).body as { results: { id: string }[]; next: string | null }
    expect(first.results).toMatchObject([{ accepted: true, refused: null }, { accepted: true }])
    const second = (await post('/actions', { ...asked, after: first.next })).body as typeof first
    expect([...first.results, ...second.results].map(({ id }) => id)).toEqual(ids.toReversed())
    expect(second.next).toBeNull()
    for (const id of ids) {
      await house.reaches('COMPENSATED', id)
      expect(await get(`/sagas/${id}/audit`)).toMatchObject({ items: [{ what: 'retry', by: 'jane' }] })
    }
  })

  test('one that refuses keeps no other from it, and says why', async () => {
    const id = await parked('mixed')
    await house.reaches('COMPLETED', await house.start('mixed'))
    const asked = { action: { kind: 'retry' }, ...because, filter: { key: 'mixed' } }
    expect((await post('/actions', asked)).body).toMatchObject({
      results: [
        { accepted: false, refused: 'it is not parked but COMPLETED', status: 'COMPLETED' },
        { id, accepted: true },
      ],
      next: null,
    })
  })
})

describe('the stream of all moves', () => {
  /** Reads events until the last one fits. */
  async function follow(path: string, isLast: (text: string) => boolean, headers = {}): Promise<string> {
    const abort = new AbortController()
    const answer = await fetch(`${house.url}/ops/moves${path}`, { signal: abort.signal, headers })
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'text/event-stream'])
    let text = ''
    for await (const chunk of (answer.body ?? []) as AsyncIterable<Uint8Array>) {
      text += new TextDecoder().decode(chunk)
      if (isLast(text)) break
    }
    abort.abort()
    return text
  }
  interface Told {
    readonly moves: readonly { readonly sagaId: string; readonly seq: number }[]
  }
  const movesIn = (text: string) =>
    [...text.matchAll(/^data: (.+)$/gm)].flatMap(([, data = '']) => (JSON.parse(data) as Told).moves)
  const lastId = (text: string) => [...text.matchAll(/^id: (.+)$/gm)].at(-1)?.[1] ?? ''

  test('tells the moves of every saga in order, live ones too, and resumes after the last that was seen', async () => {
    const one = await house.start('moves')
    await house.reaches('COMPLETED', one)
    const past = await follow(
      '',
      (text) => movesIn(text).some(({ sagaId }) => sagaId === one) && text.includes('COMPLETED'),
    )
    const seqs = movesIn(past).filter(({ sagaId }) => sagaId === one)
    expect(seqs.map(({ seq }) => seq)).toEqual(seqs.map((_, index) => index + 1))

    const seen = await follow(`?after=${encodeURIComponent(lastId(past))}`, (text) => text !== '', {
      'last-event-id': lastId(past).replace(/\d+$/, '0'),
    })
    expect(movesIn(seen)[0]).toEqual(movesIn(past)[0]) // the header wins over the query

    const live = follow('', (text) => text.includes('"key":"live-move"'), { 'last-event-id': lastId(past) })
    const other = await house.start('live-move')
    const told = movesIn(past).concat(movesIn(await live))
    expect(told.map(({ sagaId }) => sagaId)).toContain(other)
    const { items } = (await get(`/sagas/${one}/history`)) as { items: { seq: number }[] }
    expect(told.filter(({ sagaId }) => sagaId === one).map(({ seq }) => seq)).toEqual(items.map(({ seq }) => seq))
  })

  test('leaves out the moves of other definitions', async () => {
    const abort = new AbortController()
    const answer = await fetch(`${house.url}/ops/moves?definition=other`, { signal: abort.signal })
    setTimeout(() => abort.abort(), 200)
    await expect(answer.text()).rejects.toThrow(/aborted/)
  })
})

describe('the API page', () => {
  interface Operation {
    readonly operationId?: string
    readonly summary?: string
    readonly requestBody?: { readonly content: Content }
    readonly responses: Readonly<Record<string, { readonly content?: Content }>>
  }
  type Content = Readonly<Record<string, { readonly schema?: object }>>
  const operations = async () => {
    const { body } = await house.call('GET', '/openapi.json')
    const { paths } = body as { readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>> }
    return Object.entries(paths)
      .filter(([path]) => path.startsWith('/ops/'))
      .flatMap(([path, methods]) => Object.entries(methods).map(([method, each]) => ({ path, method, ...each })))
  }

  test('has an id, a summary, the success and the refusals of every operation, each with its schema', async () => {
    const all = await operations()
    expect(all).toHaveLength(11)
    expect(new Set(all.map(({ operationId }) => operationId)).size).toBe(11)
    for (const { path, summary, responses, operationId } of all) {
      expect([path, summary === undefined, operationId?.startsWith('ops_')]).toEqual([path, false, true])
      const codes = Object.keys(responses)
      expect([path, codes.some((code) => code.startsWith('2')), codes.includes('400')]).toEqual([path, true, true])
      for (const [code, { content }] of Object.entries(responses))
        expect([path, code, Object.values(content ?? {})[0]?.schema !== undefined]).toEqual([path, code, true])
    }
  })

  test('describes what is really answered', async () => {
    const id = await parked('page')
    const ajv = new Ajv2020({ strict: false, validateFormats: false })
    for (const { path, method, responses } of await operations()) {
      if (method !== 'get' || path === '/ops/moves') continue
      const schema = responses['200']?.content?.['application/json']?.schema
      const answer = await house.call('GET', path.replace('{saga_id}', id))
      expect([path, answer.status, ajv.validate(schema ?? false, answer.body), ajv.errors]).toEqual([
        path,
        200,
        true,
        null,
      ])
    }
  })
})
