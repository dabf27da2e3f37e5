import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import { afterAll, afterEach, expect, test } from 'vitest'
import { redisUrl, suiteOn } from '../../../tests/kit/parts.ts'
import { startEngine, type Engine } from '../../hosts/engine/engine.ts'
import { shopkeeper, shopSaga } from '../../hosts/engine/shop.testkit.ts'
import { memoryTransport } from '../../transports/memory/memory-transport.ts'
import type { Store } from '../store.ts'
import { redisStore } from './redis-store.ts'

suiteOn('Redis', await redisUrl(), 'engines on a real Redis', (url) => {
  const admin = new Redis(url, { lazyConnect: true })
  const prefixes: string[] = []
  afterAll(async () => {
    for (const prefix of prefixes)
      for await (const keys of admin.scanStream({ match: `${prefix}:*`, count: 1_000 }))
        if ((keys as string[]).length > 0) await admin.unlink(...(keys as string[]))
    await admin.quit()
  })

  function newPrefix(): string {
    const prefix = `test-${randomUUID()}`
    prefixes.push(prefix)
    return prefix
  }

  const running: Engine[] = []
  afterEach(async () => {
    for (const engine of running.splice(0)) await engine.stop()
  })

  async function start(store: Store, transport: ReturnType<typeof memoryTransport>): Promise<Engine> {
    const engine = await startEngine({ store, transport, definitions: [shopSaga], heartbeatMs: 200 })
    running.push(engine)
    return engine
  }

  test('run sagas from start to end, undo them, and show their lists and histories', async () => {
    const transport = memoryTransport()
    const shop = await shopkeeper(transport)
    const engine = await start(redisStore({ url, prefix: newPrefix() }), transport)
    const { saga } = await engine.start(shopSaga, { item: 'milk' }, { key: 'k' })
    expect(await engine.result(saga.id)).toMatchObject({ status: 'COMPLETED' })
    expect((await engine.start(shopSaga, { item: 'milk' }, { key: 'k' })).fresh).toBe(false)
    shop.say.ship = 'refused'
    const undone = await engine.start(shopSaga, { item: 'bread' })
    expect(await engine.result(undone.saga.id)).toMatchObject({ status: 'COMPENSATED' })
    expect((await engine.list({ businessKey: 'bread' })).items.map(({ id }) => id)).toEqual([undone.saga.id])
    expect(await engine.count({ status: 'COMPLETED' })).toBe(1)
  })

  test('that share sagas finish each of them once, however their moves race', { timeout: 120_000 }, async () => {
    const prefix = newPrefix()
    const transport = memoryTransport()
    await shopkeeper(transport, { pay: 'twice' })
    const [one, other] = [
      await start(redisStore({ url, prefix }), transport),
      await start(redisStore({ url, prefix }), transport),
    ]
    const keys = Array.from({ length: 200 }, (_, index) => `key-${index}`)
    // Both are asked for every saga at the same time.
    const starts = await Promise.all(
      keys.flatMap((key) => [one, other].map((engine) => engine.start(shopSaga, { item: key }, { key }))),
    )
    expect(starts.filter(({ fresh }) => fresh)).toHaveLength(keys.length)
    const ends = await Promise.all(starts.map(({ saga }, index) => [one, other][index % 2]!.result(saga.id)))
    expect(new Set(ends.map(({ status }) => status))).toEqual(new Set(['COMPLETED']))
    expect(await one.count({ status: 'COMPLETED' })).toBe(keys.length)
    expect(await other.count({})).toBe(keys.length)
  })
})
