import { expect, test } from 'vitest'
import { readConfig } from './config.ts'
import { keepers, orchestrators, peers, services } from './registry.ts'

test('no two services share a name, a port, a variable or a database', () => {
  const own = [
    ...services.flatMap(({ name, port, variables }) => [name, port.usual, port.variable, ...Object.keys(variables)]),
    ...peers.map(({ url }) => url),
    ...keepers.map(({ database }) => database),
  ]
  expect(new Set(own).size).toBe(own.length)
})

test('no two orchestrators keep their sagas under the same keys in Redis', () => {
  const prefixes = orchestrators.map(({ redisPrefix }) => redisPrefix)
  expect(new Set(prefixes).size).toBe(prefixes.length)
})

test('whoever is commanded reads its commands, and is answered to somebody', () => {
  const read = new Set<string>(services.flatMap(({ reads }) => reads))
  const published = new Set<string>(services.flatMap(({ publishes }) => publishes))
  expect([...published].filter((channel) => !read.has(channel))).toEqual([])
  expect([...read].filter((channel) => !published.has(channel))).toEqual([])
})

test('behind the front door each stands under its own name, and no request could be for two of them or for the door itself', () => {
  for (const { name, behind } of peers) expect(behind[0]).toEqual({ prefix: `/${name}`, kept: false })
  const prefixes = peers.flatMap(({ behind }) => behind.map(({ prefix }) => prefix))
  const own = ['/docs', '/health', '/metrics', '/openapi.json', '/messages']
  for (const prefix of prefixes) {
    expect(prefix).toMatch(/^(\/[a-z][a-z-]*)+$/)
    const others = [...own, ...prefixes.filter((other) => other !== prefix)]
    expect(others.filter((other) => `${prefix}/`.startsWith(`${other}/`))).toEqual([])
  }
  expect(new Set(prefixes).size).toBe(prefixes.length)
})

test('a service listens and is found where its entry says, unless told otherwise', () => {
  const { ports, urls } = readConfig({ ORDER_PORT: '4002', SCHEDULER_SERVICE_URL: 'http://timer:3005' })
  expect(ports).toEqual({
    user: 3001,
    order: 4002,
    payment: 3003,
    timer: 3005,
    stock: 9292,
    'shop-order': 8080,
    'shop-payment': 9001,
    auth: 8086,
    'complete-order': 3104,
    'accept-order-worker': 3112,
    'accept-order-trigger': 3102,
    'complete-order-worker': 3113,
    'complete-order-trigger': 3103,
    'create-order': 3101,
    'order-orchestration': 7001,
    gateway: 3000,
  })
  expect(urls).toMatchObject({ order: 'http://127.0.0.1:3002', timer: 'http://timer:3005' })
})
