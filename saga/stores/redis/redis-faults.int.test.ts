/** The Redis store on a server of its own: wrong settings, kills, cuts, lost answers, a frozen server, no memory. */
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync } from 'node:fs'
import { createServer, connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { installedPart, startPrivatePart, type PrivatePart } from '../../../tests/kit/private-part.ts'
import { suiteOn } from '../../../tests/kit/parts.ts'
import { startEngine, type Engine } from '../../hosts/engine/engine.ts'
import { shopkeeper, shopSaga } from '../../hosts/engine/shop.testkit.ts'
import { memoryTransport } from '../../transports/memory/memory-transport.ts'
import { moveOf, startOf, watcherOf } from '../sagas.testkit.ts'
import type { Store, StoredSaga } from '../store.ts'
import { StoreError } from '../store.ts'
import type { RedisStoreOptions } from './redis-store.ts'
import { redisStore } from './redis-store.ts'

const patience = { timeout: 30_000, interval: 20 }

suiteOn('Redis', await installedPart('redis'), 'on a Redis of its own', (part) => {
  let server: PrivatePart
  /** A connection beside the store's. */
  let admin: Redis
  const opened: Store[] = []

  beforeAll(async () => {
    server = await startPrivatePart(part)
    admin = new Redis(server.url)
    admin.on('error', () => undefined)
  })
  afterAll(async () => {
    admin.disconnect()
    await server.remove()
  })
  afterEach(async () => {
    for (const store of opened.splice(0)) await store.close()
  })

  const newPrefix = (): string => `test-${randomUUID()}`

  async function open(options: Partial<RedisStoreOptions> = {}): Promise<Store> {
    const store = redisStore({ url: server.url, prefix: newPrefix(), ...options })
    opened.push(store)
    await store.open()
    return store
  }

  async function startedIn(store: Store, ...args: Parameters<typeof startOf>): Promise<StoredSaga> {
    const start = startOf(...args)
    expect(await store.commit({ starts: [start], moves: [] })).toMatchObject({ starts: [{ kind: 'started' }] })
    return start.saga
  }

  const setting = async (name: string): Promise<string> => String(((await admin.config('GET', name)) as unknown[])[1])

  /** Runs with another setting, and puts it back. */
  async function withSetting(name: string, value: string, work: () => Promise<void>): Promise<void> {
    const before = await setting(name)
    await admin.config('SET', name, value)
    try {
      await work()
    } finally {
      await admin.config('SET', name, before)
    }
  }

  const cutAll = (): Promise<unknown> => admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')

  describe('settings', () => {
    const unsafe = [
      ['appendonly', 'no', 'yes'],
      ['appendfsync', 'everysec', 'always'],
      ['appendfsync', 'no', 'always'],
      ['no-appendfsync-on-rewrite', 'yes', 'no'],
      ['maxmemory-policy', 'allkeys-lru', 'noeviction'],
      ['maxmemory-policy', 'volatile-ttl', 'noeviction'],
    ] as const

    test.each(unsafe)(
      '%s %s is refused, with a word on what to do, unless the loss is accepted',
      async (name, value, right) => {
        await withSetting(name, value, async () => {
          await expect(open()).rejects.toMatchObject({
            name: 'StoreError',
            code: 'unusable',
            message: expect.stringMatching(
              new RegExp(
                `would lose sagas: ${name} is '${value}' \\(.+\\): set it to '${right}'; or set acceptLoss: true`,
              ),
            ) as string,
          })
          const store = await open({ acceptLoss: true })
          await startedIn(store)
        })
        await open()
      },
    )

    test('that are wrong together are named together', async () => {
      await withSetting('appendfsync', 'no', () =>
        withSetting('maxmemory-policy', 'allkeys-random', async () => {
          await expect(open()).rejects.toThrow(/appendfsync is 'no'.*maxmemory-policy is 'allkeys-random'/)
        }),
      )
    })

    test('of a server that comes back are asked again: until they are mended, nothing is written', async () => {
      const store = await open()
      const saga = await startedIn(store)
      await withSetting('appendfsync', 'everysec', async () => {
        await cutAll()
        await vi.waitFor(
          () =>
            expect(store.commit({ starts: [], moves: [moveOf({ ...saga, seq: 7 })] })).rejects.toMatchObject({
              code: 'unavailable',
              message: expect.stringContaining("appendfsync is 'everysec'") as string,
            }),
          patience,
        )
        expect(await store.ready()).toBe(false)
      })
      await vi.waitFor(async () => expect(await store.ready()).toBe(true), patience)
      expect((await store.commit({ starts: [], moves: [moveOf(saga)] })).moves).toEqual(['moved'])
    })

    test('of a cluster are refused', async () => {
      const folder = mkdtempSync(join(tmpdir(), 'ordersaga-cluster-'))
      const port = server.port + 1 // free, too
      const flags = ['--port', String(port), '--dir', folder, '--save', '', '--cluster-enabled', 'yes']
      const program = 'redis-server'
      const cluster = spawn(program, flags, { stdio: 'ignore' })
      const ended = new Promise((resolve) => cluster.on('close', resolve))
      try {
        await vi.waitFor(
          () =>
            expect(open({ url: `redis://127.0.0.1:${port}`, acceptLoss: true })).rejects.toMatchObject({
              code: 'unusable',
              message: expect.stringMatching(/runs as a cluster.*Use a single server/) as string,
            }),
          patience,
        )
      } finally {
        cluster.kill('SIGKILL')
        await ended
        rmSync(folder, { recursive: true })
      }
    })
  })

  test('a replica is refused; a primary that becomes one is waited for', async () => {
    const store = await open()
    const saga = await startedIn(store)
    await admin.replicaof('127.0.0.1', 1)
    try {
      await expect(open({ acceptLoss: true })).rejects.toMatchObject({
        code: 'unusable',
        message: expect.stringMatching(/is a replica of 127.0.0.1:1.*Use the primary/) as string,
      })
      await expect(store.commit({ starts: [], moves: [moveOf(saga)] })).rejects.toMatchObject({ code: 'unavailable' })
      await vi.waitFor(async () => {
        await expect(store.load([saga.id])).rejects.toThrow(/is a replica of/)
      }, patience)
      expect(await store.ready()).toBe(false)
    } finally {
      await admin.replicaof('NO', 'ONE')
    }
    await vi.waitFor(async () => expect(await store.ready()).toBe(true), patience)
    expect((await store.commit({ starts: [], moves: [moveOf(saga)] })).moves).toEqual(['moved'])
  })

  test('a user whose rights are taken while sagas run waits for them: no saga is refused for it', async () => {
    await admin.acl('SETUSER', 'restrained', 'reset', 'on', '>secret', '~*', '&*', '+@all')
    const store = await open({ url: server.url.replace('//', '//restrained:secret@') })
    const saga = await startedIn(store)
    const move = { starts: [], moves: [moveOf(saga)] }
    for (const [taken, given] of [
      ['-rpush', '+rpush'],
      ['-hset', '+hset'],
      ['-evalsha', '+evalsha'],
    ] as const) {
      await admin.acl('SETUSER', 'restrained', taken)
      await expect(store.commit(move)).rejects.toMatchObject({
        code: 'unavailable',
        message: expect.stringContaining("Check the login, the user's rights") as string,
      })
      await admin.acl('SETUSER', 'restrained', given)
    }
    expect(await store.load([saga.id])).toEqual({ sagas: [saga], damaged: [] })
    // Nothing is left of what was stopped in the middle.
    expect((await store.commit(move)).moves).toEqual(['moved'])
    expect((await store.history(saga.id)).map(({ seq }) => seq)).toEqual([1, 2])
    expect((await store.load([saga.id])).damaged).toEqual([])
  })

  test('without memory nothing of a batch is stored and it may be tried again; reading and removing go on', async () => {
    const store = await open()
    const ended = await startedIn(store, { status: 'COMPLETED' }, false)
    const saga = await startedIn(store, { key: 'k' })
    const batch = { starts: [startOf({ key: 'new' })], moves: [moveOf(saga)] }
    await withSetting('maxmemory', '1', async () => {
      await expect(store.commit(batch)).rejects.toMatchObject({
        code: 'unwritable',
        message: expect.stringMatching(/used up its maxmemory and stored nothing.*Raise maxmemory/) as string,
      })
      expect(await store.ready()).toBe(false)
      expect((await store.load([saga.id])).sagas).toEqual([saga])
      expect(await store.history(saga.id)).toHaveLength(1)
      expect(await store.count({})).toBe(2)
      expect(await store.prune(0, 10)).toBe(1)
      expect((await store.load([ended.id])).sagas).toEqual([])
      // A connection made meanwhile is used, too: it may be what removes.
      await cutAll()
      await vi.waitFor(async () => expect((await store.load([saga.id])).sagas).toEqual([saga]), patience)
    })
    expect(await store.commit(batch)).toEqual({ starts: [{ kind: 'started' }], moves: ['moved'] })
  })

  describe('under load', () => {
    const moves = 5
    const loads: { rest(): Promise<void> }[] = []
    afterEach(() => Promise.all(loads.splice(0).map((each) => each.rest())))

    /** Commits without end, however often a commit breaks, and says how far it came. */
    function load(store: Store, workers: number) {
      const acknowledged = new Map<string, number>()
      const figures = { commits: 0, broken: 0 }
      let working = true

      /** Repeats what is unavailable; what had been stored all the same is known, or stale, then. */
      async function surely<T>(ask: () => Promise<T>): Promise<T> {
        for (;;) {
          try {
            return await ask()
          } catch (error) {
            if (!(error instanceof StoreError) || error.code !== 'unavailable') throw error
            figures.broken += 1
            await delay(5) // leaves the processor to the server that starts
          }
        }
      }

      async function work(): Promise<void> {
        while (working) {
          const starts = Array.from({ length: 5 }, () => startOf({ key: randomUUID() }))
          await surely(() => store.commit({ starts, moves: [] }))
          for (const { saga } of starts) acknowledged.set(saga.id, 1)
          for (let seq = 1; seq <= moves; seq++) {
            const end = seq === moves ? ({ status: 'COMPLETED', live: false } as const) : {}
            const batch = { starts: [], moves: starts.map(({ saga }) => moveOf({ ...saga, seq }, end)) }
            await surely(() => store.commit(batch))
            for (const { saga } of starts) acknowledged.set(saga.id, seq + 1)
            figures.commits += 1
          }
        }
      }
      const done = Promise.all(Array.from({ length: workers }, work))
      const running = {
        acknowledged,
        figures,
        async underWay(): Promise<void> {
          const goal = figures.commits + 60
          await Promise.race([done, vi.waitFor(() => expect(figures.commits).toBeGreaterThan(goal), patience)])
        },
        async rest(): Promise<void> {
          working = false
          await done
        },
      }
      loads.push(running)
      return running
    }

    /** By the keys themselves: every saga is as far as was acknowledged, in each place where it has to be, and in no other. */
    async function expectWhole(prefix: string, acknowledged: ReadonlyMap<string, number>): Promise<void> {
      const ids = [...acknowledged.keys()]
      const rows = await Promise.all(
        ids.map(async (id) => {
          const [seq, history] = await Promise.all([
            admin.hget(`${prefix}:saga:${id}`, 'seq'),
            admin.lrange(`${prefix}:history:${id}`, 0, -1),
          ])
          const seqs = history.map((text) => (JSON.parse(text) as [number])[0])
          return { id, seq: Number(seq), seqs }
        }),
      )
      expect(rows.filter(({ id, seq }) => seq !== acknowledged.get(id))).toEqual([])
      expect(rows.filter(({ seq, seqs }) => seqs.length !== seq || seqs.some((each, n) => each !== n + 1))).toEqual([])
      expect(rows.map(({ seq }) => seq)).toEqual(ids.map(() => moves + 1))
      const size = async (name: string): Promise<number> => admin.zcard(`${prefix}:${name}`)
      for (const list of ['all', 'definition:test', 'status:COMPLETED', 'status-definition:COMPLETED:test', 'ended'])
        expect(await size(list), list).toBe(ids.length)
      expect(await size('status:STARTED')).toBe(0)
      expect(await admin.hlen(`${prefix}:keys`)).toBe(ids.length)
      expect(await admin.scard(`${prefix}:live:owner`)).toBe(0)
      expect(await admin.keys(`${prefix}:saga:*`)).toHaveLength(ids.length)
      expect(await admin.keys(`${prefix}:history:*`)).toHaveLength(ids.length)
    }

    test(
      'a server that is killed loses nothing it has acknowledged and keeps no half move',
      { timeout: 180_000 },
      async () => {
        const prefix = newPrefix()
        const store = await open({ prefix })
        const work = load(store, 8)
        for (let kill = 0; kill < 6; kill++) {
          await work.underWay()
          const before = new Map(work.acknowledged)
          await server.kill()
          await server.start()
          // Nothing that was acknowledged by then is missing now.
          await vi.waitFor(() => admin.ping(), patience)
          const seqs = await Promise.all([...before.keys()].map((id) => admin.hget(`${prefix}:saga:${id}`, 'seq')))
          expect([...before].filter(([, seq], n) => !(Number(seqs[n]) >= seq))).toEqual([])
        }
        await work.underWay()
        await work.rest()
        expect(work.figures.broken).toBeGreaterThanOrEqual(6)
        await expectWhole(prefix, work.acknowledged)
        expect(await store.ready()).toBe(true)
      },
    )

    test('connections may be cut: nothing is lost, and the store goes on by itself', { timeout: 180_000 }, async () => {
      const prefix = newPrefix()
      const store = await open({ prefix, retry: { firstMs: 1, mostMs: 10 } })
      const work = load(store, 8)
      for (let cut = 0; cut < 40; cut++) {
        const goal = work.figures.commits + 10
        await vi.waitFor(() => expect(work.figures.commits).toBeGreaterThan(goal), { timeout: 30_000, interval: 1 })
        await cutAll()
      }
      await work.underWay()
      await work.rest()
      expect(work.figures.broken).toBeGreaterThan(20)
      await expectWhole(prefix, work.acknowledged)
    })
  })

  test(
    'a transaction that a crash has cut is gone for good, also after one more restart',
    { timeout: 120_000 },
    async () => {
      const store = await open()
      const [one, other] = [await startedIn(store), await startedIn(store)]
      await store.commit({ starts: [], moves: [moveOf(one), moveOf(other)] })
      const folder = join(await setting('dir'), await setting('appenddirname'))
      await server.kill()
      // In the last command but the one that ends the transaction, as if the disk had got no more.
      const logs = readdirSync(folder).filter((file) => file.endsWith('.incr.aof'))
      const log = join(folder, logs.toSorted((a, b) => Number(a.split('.')[2]) - Number(b.split('.')[2])).at(-1)!)
      const text = readFileSync(log, 'latin1')
      expect(text.endsWith('*1\r\n$4\r\nEXEC\r\n')).toBe(true)
      truncateSync(log, text.length - 30)
      await server.start()
      await vi.waitFor(async () => expect((await store.load([one.id, other.id])).sagas).toEqual([one, other]), patience)
      const after = await startedIn(store)
      await server.kill()
      await server.start()
      await vi.waitFor(async () => {
        expect((await store.load([one.id, other.id, after.id])).sagas).toEqual([one, other, after])
      }, patience)
      for (const { id } of [one, other, after]) expect(await store.history(id)).toHaveLength(1)
    },
  )

  test('a server that was restarted rewrites its log before it is written to, by a user who may ask for that', async () => {
    await server.kill()
    await server.start()
    await vi.waitFor(() => admin.ping(), patience)
    await admin.acl('SETUSER', 'restricted', 'on', '>secret', '~*', '&*', '+@all', '-bgrewriteaof')
    const url = server.url.replace('//', '//restricted:secret@')
    await expect(open({ url })).rejects.toMatchObject({
      code: 'unusable',
      message: expect.stringMatching(/does not let this user run BGREWRITEAOF.*acceptLoss/) as string,
    })
    await open({ url, acceptLoss: true })
    expect(await admin.info('persistence')).toContain('aof_last_rewrite_time_sec:-1')
    // One rewriting does for all; on a slow disk it takes longer than one of them waits.
    await Promise.all([1, 2, 3].map(() => vi.waitFor(() => open(), patience)))
    expect(await admin.info('persistence')).not.toContain('aof_last_rewrite_time_sec:-1')
    await open({ url })
  })

  describe('a commit', () => {
    /** A way to the server on which one exchange can go wrong: its answer is lost, or (a part of) its request. */
    async function startProxy() {
      let fault: 'none' | 'lose the answer' | 'lose the request' | 'cut the request' = 'none'
      let sent = ''
      const sockets = new Set<Socket>()
      const proxy = createServer((client) => {
        const upstream = connect(server.port, '127.0.0.1')
        const both = [client, upstream]
        const cut = (): void => both.forEach((socket) => socket.destroy())
        for (const socket of both) {
          sockets.add(socket)
          socket.on('error', cut).on('close', cut)
        }
        client.on('data', (request: Buffer) => {
          if (fault === 'lose the request' || fault === 'cut the request') {
            if (fault === 'cut the request') upstream.write(request.subarray(0, request.length >> 1))
            fault = 'none'
            client.destroy()
            upstream.end()
          } else {
            sent += request.toString('latin1')
            upstream.write(request)
          }
        })
        upstream.on('data', (answer: Buffer) => {
          if (fault === 'lose the answer') {
            fault = 'none'
            cut()
          } else client.write(answer)
        })
      })
      await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
      const { port } = proxy.address() as { port: number }
      return {
        url: `redis://127.0.0.1:${port}`,
        fault: (next: typeof fault) => void (fault = next),
        timesSent: (marker: string) => sent.split(marker).length - 1,
        async close() {
          sockets.forEach((socket) => socket.destroy())
          await new Promise((resolve) => proxy.close(resolve))
        },
      }
    }

    test.each([
      ['lose the answer', true],
      ['lose the request', false],
      ['cut the request', false],
    ] as const)(
      'on a connection that does "%s" is of unknown outcome at once, and is not sent again',
      async (fault, stored) => {
        const proxy = await startProxy()
        try {
          const store = await open({ url: proxy.url })
          const saga = await startedIn(store)
          const move = moveOf(saga, { inputId: randomUUID() })
          const marker = move.entries[0]!.inputId
          proxy.fault(fault)
          await expect(store.commit({ starts: [], moves: [move] })).rejects.toMatchObject({
            name: 'StoreError',
            code: 'unavailable',
            message: expect.stringMatching(
              /the connection broke. What was under way may or may not be stored/,
            ) as string,
          })
          // The way back is open again: the very next call finds what is true.
          expect((await store.load([saga.id])).sagas).toMatchObject([{ seq: stored ? 2 : 1 }])
          expect(await store.history(saga.id)).toHaveLength(stored ? 2 : 1)
          expect(proxy.timesSent(marker)).toBe(stored ? 1 : 0)
          expect((await store.commit({ starts: [], moves: [move] })).moves).toEqual([stored ? 'stale' : 'moved'])
          expect(await store.history(saga.id)).toHaveLength(2)
        } finally {
          await proxy.close()
        }
      },
    )

    test(
      'to a server that has frozen ends in time, as do readiness, opening and closing',
      { timeout: 120_000 },
      async () => {
        const store = await open({ commandTimeoutMs: 4_000, connectTimeoutMs: 4_000 })
        const closes = await open({ commandTimeoutMs: 60_000 })
        const saga = await startedIn(store)
        const pid = Number(/process_id:(\d+)/.exec(await admin.info('server'))?.[1])
        process.kill(pid, 'SIGSTOP')
        try {
          const began = performance.now()
          const hangs = closes.load([saga.id])
          const move = { starts: [], moves: [moveOf(saga)] }
          await expect(store.commit(move)).rejects.toMatchObject({ code: 'unavailable' })
          expect(await store.ready()).toBe(false)
          await expect(store.load([saga.id])).rejects.toMatchObject({ code: 'unavailable' })
          await expect(open({ connectTimeoutMs: 1_000 })).rejects.toMatchObject({ code: 'unavailable' })
          await Promise.all([closes.close(), expect(hangs).rejects.toMatchObject({ code: 'unavailable' })])
          expect(performance.now() - began).toBeLessThan(30_000)
        } finally {
          process.kill(pid, 'SIGCONT')
        }
        await vi.waitFor(async () => expect(await store.ready()).toBe(true), patience)
        // Whatever became of the first try, it is there once.
        await store.commit({ starts: [], moves: [moveOf(saga)] })
        expect((await store.load([saga.id])).sagas).toMatchObject([{ seq: 2 }])
        expect((await store.history(saga.id)).map(({ seq }) => seq)).toEqual([1, 2])
      },
    )
  })

  test('a server that is absent at first is found when it has come', { timeout: 120_000 }, async () => {
    const late = await startPrivatePart(part, { started: false })
    try {
      const store = redisStore({ url: late.url })
      opened.push(store)
      await expect(store.open()).rejects.toMatchObject({
        code: 'unavailable',
        message: expect.stringMatching(/does not answer: connect ECONNREFUSED.*Start it, or check the URL/) as string,
      })
      await late.start()
      await store.open()
      await startedIn(store)
      // And once it is open, by itself.
      await late.kill()
      await vi.waitFor(() => expect(store.load(['x'])).rejects.toMatchObject({ code: 'unavailable' }), patience)
      await late.start()
      await vi.waitFor(async () => expect(await store.count({})).toBe(1), patience)
    } finally {
      await late.remove()
    }
  })

  test('who watches is told again after the server was restarted', { timeout: 120_000 }, async () => {
    const prefix = newPrefix()
    const [here, there] = [await open({ prefix }), await open({ prefix })]
    const hints = new Set<string>()
    const watching = await there.watch?.(watcherOf((ids) => ids.forEach((id) => hints.add(id))))
    const saga = await startedIn(here)
    await server.kill()
    await server.start()
    let { seq } = saga
    await vi.waitFor(async () => {
      const { moves } = await here.commit({ starts: [], moves: [moveOf({ ...saga, seq })] })
      expect(moves).toEqual(['moved'])
      seq += 1
      expect(hints).toContain(saga.id)
    }, patience)
    await watching?.close()
  })

  describe('an engine', () => {
    const running: Engine[] = []
    afterEach(async () => {
      for (const engine of running.splice(0)) await engine.stop()
    })

    async function start(prefix: string, transport: ReturnType<typeof memoryTransport>): Promise<Engine> {
      const store = redisStore({ url: server.url, prefix })
      const engine = await startEngine({ store, transport, definitions: [shopSaga], heartbeatMs: 300 })
      running.push(engine)
      return engine
    }

    test('takes over the sagas of a process that was killed, and ends them', { timeout: 120_000 }, async () => {
      const prefix = newPrefix()
      const path = (file: string): string => JSON.stringify(join(import.meta.dirname, file))
      // Its participant never answers: all that it starts is left in the middle.
      const program = `
        import { startEngine } from ${path('../../hosts/engine/engine.ts')}
        import { shopkeeper, shopSaga } from ${path('../../hosts/engine/shop.testkit.ts')}
        import { memoryTransport } from ${path('../../transports/memory/memory-transport.ts')}
        import { redisStore } from ${path('./redis-store.ts')}
        const transport = memoryTransport()
        await shopkeeper(transport, { pay: 'nothing' })
        const store = redisStore({ url: ${JSON.stringify(server.url)}, prefix: ${JSON.stringify(prefix)} })
        const engine = await startEngine({ store, transport, definitions: [shopSaga], heartbeatMs: 300 })
        for (let n = 0; ; n++) {
          const { saga } = await engine.start(shopSaga, { item: 'item ' + n })
          process.stdout.write(saga.id + '\\n')
        }`
      const flags = ['--conditions=source', '--import', 'tsx', '--input-type=module', '--eval', program]
      const child = spawn(process.execPath, flags, { cwd: import.meta.dirname, stdio: ['ignore', 'pipe', 'inherit'] })
      const ids: string[] = []
      for await (const id of createInterface({ input: child.stdout })) if (ids.push(id) === 100) child.kill('SIGKILL')
      const transport = memoryTransport()
      await shopkeeper(transport)
      const engine = await start(prefix, transport)
      const killed = performance.now()
      const ends = await Promise.all(ids.map((id) => engine.result(id)))
      expect(performance.now() - killed).toBeLessThan(10_000)
      // Those whose tries were used up before the kill undo themselves.
      const ended = ends.filter(({ status }) => status === 'COMPLETED' || status === 'COMPENSATED')
      expect(ended).toHaveLength(ids.length)
      await vi.waitFor(async () => expect(await engine.count({ status: 'STARTED' })).toBe(0), patience)
    })

    test(
      'goes on when its server is killed and comes back, and every saga ends once',
      { timeout: 120_000 },
      async () => {
        const transport = memoryTransport()
        await shopkeeper(transport)
        const engine = await start(newPrefix(), transport)
        let working = true
        const keys: string[] = []
        const caller = async (): Promise<void> => {
          while (working) {
            const key = randomUUID()
            keys.push(key)
            const { saga } = await engine.start(shopSaga, { item: 'milk' }, { key })
            expect(await engine.result(saga.id)).toMatchObject({ status: 'COMPLETED' })
          }
        }
        const callers = Promise.all(Array.from({ length: 16 }, caller))
        for (let kill = 0; kill < 3; kill++) {
          const goal = keys.length + 100
          await Promise.race([callers, vi.waitFor(() => expect(keys.length).toBeGreaterThan(goal), patience)])
          await server.kill()
          await server.start()
        }
        working = false
        await callers
        expect(await engine.count({ status: 'COMPLETED' })).toBe(keys.length)
        expect(await engine.count({})).toBe(keys.length)
      },
    )
  })
})
