/** The front door before all services of an order, as browsers and whoever types curl lines meet them. */
import { createServer, type AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { pino } from 'pino'
import { shopOf, type Shop } from '../sagas/create-order/shop.testkit.ts'
import { call } from '../shared/testing/call.ts'
import { startEmbedded, type Embedded } from '../shared/testing/embedded.ts'
import type { OpenService } from '../shared/service.ts'
import { answering, follow, openDoor, upstreamAt, type Following } from './gateway.testkit.ts'
import { openGateway } from './service.ts'
import { surveyOf } from './survey.ts'
import type { Place } from './upstream.ts'

let system: Embedded
let door: OpenService
/** By their names at the front door. */
const systemNames = {
  user: 'user',
  order: 'order',
  payment: 'payment',
  timer: 'timer',
  'create-order': 'sagas',
  'complete-order': 'deliveries',
} as const
type Name = keyof typeof systemNames
const names = Object.keys(systemNames) as Name[]
const directly = (name: Name): string => system.urls[systemNames[name]]
const further: Readonly<Partial<Record<Name, Place>>> = {
  'create-order': { prefix: '/saga/create', kept: false },
  'complete-order': { prefix: '/saga/complete', kept: true },
}

/** Everything asked through the front door. */
let shop: Shop

beforeAll(async () => {
  system = await startEmbedded()
  door = await openGateway({
    host: '127.0.0.1',
    port: 0,
    log: pino({ level: 'silent' }),
    callers: { hosts: ['door.example'], origins: ['https://pages.example'] },
    upstreams: names.map((name) => {
      const place = further[name]
      return upstreamAt(directly(name), name, ...(place === undefined ? [] : [place]))
    }),
  })
  const behind = (name: string): string => `${door.url}/${name}`
  shop = shopOf({
    urls: {
      user: behind('user'),
      order: behind('order'),
      payment: behind('payment'),
      timer: behind('timer'),
      sagas: behind('saga/create'),
      deliveries: door.url,
    },
  })
})
afterAll(async () => {
  await door.close()
  await system.close()
})

describe('behind the front door', () => {
  test('an order is placed, paid, looked at and cancelled', async () => {
    const id = await shop.start('cust_123')
    const { order_id } = await shop.sagaIn('COMPLETED', id)
    expect([await shop.orderStatus(order_id), (await shop.payment(order_id)).status]).toEqual(['CREATED', 'AUTHORIZED'])
    await call('POST', `${door.url}/saga/create/sagas/${id}/cancel`)
    await shop.sagaIn('CANCELLED', id)
    expect(await shop.problems()).toEqual([])
  })

  test.each([
    ['user', '/health/ready'],
    ['order', '/orders?limit=2'],
    ['payment', '/ledger/audit'],
    ['timer', '/nowhere'],
    ['create-order', '/ops/counts'],
    ['complete-order', '/ops/definitions'],
  ] as const)('%s answers %s as it does itself', async (name, path) => {
    const direct = await call('GET', directly(name) + path)
    const { status, text, headers } = await call('GET', `${door.url}/${name}${path}`)
    expect([status, text]).toEqual([direct.status, direct.text])
    // The front door has origins that may read; these services have not been told of any.
    const changing = ['date', 'x-request-id', 'vary']
    const kept = (all: Headers) => [...all].filter(([header]) => !changing.includes(header))
    expect(kept(headers)).toEqual(kept(direct.headers))
  })

  test('the saga whose paths say where it stands is asked as its clients know it', async () => {
    const refused = await call('POST', `${door.url}/saga/complete/completeOrder`, { json: {} })
    expect([refused.status, refused.body]).toEqual([400, { error: 'orderId is missing: send a text' }])
    const stream = await follow(`${door.url}/saga/complete/orderUpdateStream/nowhere`)
    await expect.poll(stream.ended).toBe('whole')
    expect([stream.answer.statusCode, stream.text()]).toEqual([
      200,
      expect.stringMatching(/^data: {"error":".*"}\n\n$/),
    ])
  })

  test('a stream that is cut again and again and resumed tells every move once', async () => {
    const id = await shop.start('cust_declined')
    const url = `${door.url}/saga/create/api/sagas/${id}/updates`
    await shop.sagaIn('COMPENSATED', id)
    const all = (await call('GET', url)).text
    let seen = ''
    while (seen !== all) {
      const last = [...seen.matchAll(/^id: (\d+)$/gm)].at(-1)?.[1]
      const stream = await follow(url, last === undefined ? {} : { 'last-event-id': last })
      // One event of each connection counts: the cut comes in the middle of what follows.
      await expect.poll(stream.text).toContain('\n\n')
      stream.leave()
      seen += `${stream.text().split('\n\n')[0]}\n\n`
      expect(all.startsWith(seen)).toBe(true)
    }
  })

  test('1,000 streams are open at once, each hears of each move, and no place is lost when they end', async () => {
    system.gate.hold('get_payment_info')
    const id = await shop.start('cust_123')
    const url = `${door.url}/create-order/sagas/${id}/updates`
    const streams: Following[] = []
    while (streams.length < 1000) streams.push(...(await Promise.all(Array.from({ length: 50 }, () => follow(url)))))
    expect(streams.filter(({ answer }) => answer.statusCode !== 200)).toEqual([])
    const tooMany = await call('GET', url)
    expect([tooMany.status, tooMany.headers.get('retry-after')]).toEqual([429, '5'])
    const other = streams.splice(0, 500)
    for (const stream of other) stream.leave()
    system.gate.release('get_payment_info')
    await expect.poll(() => streams.filter((stream) => stream.ended() !== 'whole').length).toBe(0)
    const texts = new Set(streams.map((stream) => stream.text()))
    expect([texts.size, [...texts][0]]).toEqual([1, expect.stringContaining('"status":"COMPLETED"')])
    for (let count = 0; count < 100; count += 1) expect((await call('GET', url)).status).toBe(200)
  })

  test("each service's API page is there, and tries its routes behind the front door", async () => {
    const [page, document] = [
      await call('GET', `${door.url}/order/docs/`),
      await call('GET', `${door.url}/order/docs/json`),
    ]
    expect([page.status, page.text.match(/(src|href)="(?!\.\/static\/)/)]).toEqual([200, null])
    expect(document.body).toMatchObject({ info: { title: 'Order Service' }, servers: [{ url: '/order' }] })
    expect((await call('GET', `${system.urls.order}/docs/json`)).body).not.toHaveProperty('servers')
    const redirected = await fetch(`${door.url}/create-order/apidocs/`)
    expect([redirected.status, redirected.url]).toEqual([200, `${door.url}/create-order/docs/`])
  })
})

describe('the front door itself', () => {
  test('lists its own routes alone on its API page', async () => {
    const { body } = await call('GET', `${door.url}/openapi.json`)
    expect(Object.keys((body as { readonly paths: object }).paths)).toEqual([
      '/health',
      '/health/live',
      '/health/ready',
      '/',
      '/health/services',
    ])
  })

  test('tells who goes astray what there is', async () => {
    const { status, body } = await call('GET', `${door.url}/saga/lost`)
    expect([status, (body as { readonly detail: string }).detail]).toEqual([
      404,
      'there is no GET /saga/lost here: behind this front door are /user/…, /order/…, /payment/…, /timer/…, /create-order/…, /saga/create/…, /complete-order/…, /saga/complete/…; / shows them',
    ])
  })

  test('shows a page on which every link leads somewhere, and which needs no script', async () => {
    const { status, text, headers } = await call('GET', door.url)
    expect([status, headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8'])
    expect(headers.get('content-security-policy')).toMatch(/^default-src 'none'; style-src 'sha256-[\w+/]+=';/)
    expect(text).not.toMatch(/<script|\s(style|on\w+)=/)
    const links = [...text.matchAll(/href="([^"]+)"/g)].map(([, link = '']) => link)
    expect(links).toHaveLength(15)
    for (const link of links) expect([link, (await call('GET', door.url + link)).status]).toEqual([link, 200])
  })

  test('lets no message between services through, and operators as the services do', async () => {
    const message = await call('POST', `${door.url}/payment/messages/payment_commands`, { json: {} })
    expect(message.status).toBe(404)
    expect((await call('GET', `${door.url}/create-order/ops/definitions`)).status).toBe(200)
  })
})

describe('a page', () => {
  const path = '/create-order/api/orders'
  const place = (headers: Record<string, string>, to = path) =>
    call('POST', door.url + to, { json: { customer_id: 'cust_123', order_details: {} }, headers })

  test.each(['http://evil.example', 'null', 'http://localhost:1'])('of %s may ask nothing', async (origin) => {
    const before = await shop.count()
    const answers = [await place({ origin }), await call('GET', `${door.url}/order/orders`, { headers: { origin } })]
    expect(answers.map(({ status, body }) => [status, body])).toMatchObject([
      [403, { error: expect.stringContaining('ALLOWED_ORIGINS') as string }],
      [403, { error: expect.stringContaining('ALLOWED_ORIGINS') as string }],
    ])
    expect(await shop.count()).toBe(before)
  })

  test('cannot change that by saying that it came from elsewhere', async () => {
    const { host } = new URL(door.url)
    const claims = {
      'x-forwarded-host': 'evil.example',
      'x-forwarded-for': '127.0.0.1',
      forwarded: 'host=evil.example',
    }
    expect((await place({ origin: 'http://evil.example', ...claims })).status).toBe(403)
    expect((await place({ origin: `http://${host}`, ...claims })).status).toBe(400)
  })

  test('of the front door itself may ask all services, which know it by another name', async () => {
    const { origin } = new URL(door.url)
    for (const name of names)
      expect((await call('GET', `${door.url}/${name}/health`, { headers: { origin } })).status).toBe(200)
  })

  test('of another origin may read what the service lets it read, as without the front door', async () => {
    const origin = 'http://localhost:5173'
    for (const name of ['order', 'create-order'] as const) {
      const direct = directly(name)
      const readable = await Promise.all(
        [direct, `${door.url}/${name}`].map(async (url) => {
          const asked = await fetch(`${url}/health`, { headers: { origin } })
          const preflight = { origin, 'access-control-request-method': 'POST' }
          const before = await fetch(`${url}/api/orders`, { method: 'OPTIONS', headers: preflight })
          return [asked, before].map(({ status, headers }) => [status, headers.get('access-control-allow-origin')])
        }),
      )
      expect(readable[1]).toEqual(readable[0])
    }
  })

  test('that has the front door under a name that is not ours reads nothing', async () => {
    const { port } = new URL(door.url)
    const askedAs = async (host: string): Promise<number | undefined> =>
      (await follow(`http://127.0.0.1:${port}/order/health`, { host })).answer.statusCode
    expect(await Promise.all(['evil.example', 'door.example', `localhost:${port}`].map(askedAs))).toEqual([
      421, 200, 200,
    ])
  })
})

describe('the health of all', () => {
  test('is whole while each service can do its work', async () => {
    expect((await call('GET', `${door.url}/health`)).body).toEqual({ status: 'healthy' })
    const { status, body } = await call('GET', `${door.url}/health/services`)
    const well = { live: true, ready: true }
    expect([status, body]).toEqual([
      200,
      {
        services: { user: well, order: well, payment: well, timer: well, 'create-order': well, 'complete-order': well },
      },
    ])
  })

  test('names whoever is down, cannot work, hangs or is another, and tells why within a moment', async () => {
    const closed = await answering(() => undefined)
    await closed.close()
    const unready = await answering((_request, response) =>
      response.writeHead(503).end(JSON.stringify({ status: 'not ready', failed: ['database'] })),
    )
    const hanging = createServer()
    await new Promise<void>((resolve) => hanging.listen(0, '127.0.0.1', resolve))
    const stranger = await answering((_request, response) => response.writeHead(404).end('<b>?</b>'))
    const upstreams = [
      upstreamAt(closed.url, 'closed'),
      upstreamAt(unready.url, 'unready'),
      upstreamAt(`http://127.0.0.1:${(hanging.address() as AddressInfo).port}`, 'hanging'),
      upstreamAt(stranger.url, 'stranger'),
    ]
    const other = await openDoor(upstreams)
    try {
      expect((await call('GET', `${other.url}/health/services`)).body).toEqual({
        services: {
          closed: { live: false, ready: false, why: 'cannot be reached (ECONNREFUSED)' },
          unready: { live: true, ready: false, why: 'does not work: database' },
          hanging: { live: false, ready: false, why: 'no answer within 1500 ms' },
          stranger: { live: false, ready: false, why: 'answers what none of our services would' },
        },
      })
      const ready = await call('GET', `${other.url}/health/ready`)
      expect([ready.status, ready.body]).toEqual([
        503,
        {
          status: 'not ready',
          failed: ['closed', 'unready', 'hanging', 'stranger'],
          parts: { closed: false, unready: false, hanging: false, stranger: false },
        },
      ])
      expect((await call('GET', `${other.url}/health/live`)).status).toBe(200)
      const { status, text } = await call('GET', other.url)
      expect([status, text.match(/>(down|not ready)<\/a>/g)]).toEqual([
        200,
        ['>down</a>', '>not ready</a>', '>down</a>', '>down</a>'],
      ])
    } finally {
      await other.close()
      await unready.close()
      await stranger.close()
      hanging.close()
    }
  })

  test('asks each service once for all who want to know at the same time', async () => {
    let asked = 0
    const upstream = await answering((_request, response) => void response.end(String((asked += 1))))
    const survey = surveyOf([upstreamAt(upstream.url)])
    await Promise.all([survey(), survey(), survey()])
    expect(asked).toBe(1)
    await survey()
    expect(asked).toBe(2)
    await upstream.close()
  })
})
