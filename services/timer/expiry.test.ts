import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Message, Transport } from 'ordersaga/transport'
import { openDatabase, type Database } from '../shared/database/database.ts'
import { newFile } from '../shared/testing/ask.ts'
import type { Worker } from '../shared/worker.ts'
import { openExpiry } from './expiry.ts'
import { timerMigrations, type TimerTables } from './schema.ts'
import { endTimerOfOrder, findTimerOfOrder, insertTimer } from './rows.ts'

const start = Date.UTC(2026, 0, 1)
const halfAnHour = 30 * 60_000

/** A clock with one alarm, moved by hand. */
class Clock {
  ms = start
  alarm: { at: number; wake: () => void } | null = null
  readonly now = (): number => this.ms
  readonly sleep = (ms: number, wake: () => void): (() => void) => {
    const alarm = { at: this.ms + ms, wake }
    this.alarm = alarm
    return () => {
      if (this.alarm === alarm) this.alarm = null
    }
  }

  /** Goes on to `until`, ringing the alarm on the way as often as it is set. */
  async advance(until: number): Promise<void> {
    for (;;) {
      await expect.poll(() => this.alarm, { interval: 1 }).not.toBeNull()
      const { alarm } = this
      if (alarm === null || alarm.at > until) break
      this.alarm = null
      this.ms = Math.max(this.ms, alarm.at)
      alarm.wake()
    }
    this.ms = until
  }
}

let clock: Clock
let database: Database<TimerTables>
let said: Message[]
let refuse: number
let expiries: Worker[]
let problems: unknown[]

const transport: Transport = {
  async publish(channel, messages) {
    expect(channel).toBe('timer_events')
    if (refuse-- > 0) throw new Error('the broker is away')
    said.push(...messages)
  },
  subscribe: () => Promise.reject(new Error('not used')),
  ready: async () => true,
  close: async () => undefined,
}

function run(): Worker {
  const { now, sleep } = clock
  const onProblem = (error: unknown): unknown => problems.push(error)
  const expiry = openExpiry({ db: database.db, transport, source: 'timer-service', now, sleep, onProblem })
  expiries.push(expiry)
  expiry.begin()
  return expiry
}

const add = (orderId: string, expiresAt: number, sagaId: string | null = `saga-of-${orderId}`) =>
  insertTimer(database.db, { orderId, customerId: 'cust_123', runnerId: null, sagaId, expiresAt }, clock.now())

beforeEach(async () => {
  clock = new Clock()
  said = []
  refuse = 0
  expiries = []
  problems = []
  database = await openDatabase<TimerTables>({ kind: 'sqlite', file: newFile('timer') }, timerMigrations('sqlite'))
})

afterEach(async () => {
  for (const expiry of expiries) await expiry.stop()
  await database.close()
})

test('a timer is told of once, when its time has come and not a millisecond before', async () => {
  await add('o', start + halfAnHour)
  run()
  await clock.advance(start + halfAnHour - 1)
  expect(said).toEqual([])
  await clock.advance(start + halfAnHour + 60_000)
  const timer = await findTimerOfOrder(database.db, 'o')
  expect(said).toMatchObject([
    {
      id: `${timer?.timer_id}:timeout`,
      type: 'ORDER_TIMEOUT',
      correlationId: 'saga-of-o',
      source: 'timer-service',
      payload: {
        timerId: timer?.timer_id,
        orderId: 'o',
        customerId: 'cust_123',
        sagaId: 'saga-of-o',
        expiresAt: '2026-01-01T00:30:00.000',
      },
    },
  ])
  expect(timer?.state).toBe('FIRED')
})

test('timers that expired while nobody ran are told of at the start, all of them', async () => {
  for (let i = 0; i < 450; i++) await add(`o${i}`, start + i)
  clock.ms = start + halfAnHour
  run()
  await clock.advance(clock.ms)
  expect(new Set(said.map(({ correlationId }) => correlationId)).size).toBe(450)
  expect(said).toHaveLength(450)
})

test('where the event cannot be published the timer stays due and is told of later', async () => {
  refuse = 5
  await add('o', start + 1_000)
  run()
  await clock.advance(start + 2_000)
  expect(said).toEqual([])
  expect((await findTimerOfOrder(database.db, 'o'))?.state).toBe('RUNNING')
  await clock.advance(start + 60_000)
  expect(said).toHaveLength(1)
  expect(problems).toHaveLength(5)
})

test('one that died between telling and marking is followed by one that tells again, under the same id', async () => {
  await add('o', start)
  const dying = openExpiry({
    db: database.db,
    transport: {
      ...transport,
      async publish(channel, messages) {
        await transport.publish(channel, messages)
        throw new Error('died here')
      },
    },
    source: 'timer-service',
    now: clock.now,
    sleep: () => () => undefined,
    onProblem: () => undefined,
  })
  dying.begin()
  await dying.look()
  await dying.stop()
  const before = said.length
  run()
  await clock.advance(start)
  expect(before).toBeGreaterThan(0)
  expect(said).toHaveLength(before + 1)
  expect(new Set(said.map(({ id }) => id)).size).toBe(1)
})

test('nobody is told of anything before it begins, not even where somebody asks', async () => {
  await add('o', start)
  const { now, sleep } = clock
  const expiry = openExpiry({
    db: database.db,
    transport,
    source: 'timer-service',
    now,
    sleep,
    onProblem: () => undefined,
  })
  expiries.push(expiry)
  await expiry.look()
  expect(said).toEqual([])
  expiry.begin()
  await expiry.look()
  expect(said).toHaveLength(1)
})

test('a stopped or cancelled timer is not told of', async () => {
  await add('accepted', start + 1_000)
  await add('cancelled', start + 1_000)
  run()
  await endTimerOfOrder(database.db, 'accepted', { state: 'STOPPED', runner_id: 'runner_123' })
  await endTimerOfOrder(database.db, 'cancelled', { state: 'CANCELLED' })
  await clock.advance(start + halfAnHour)
  expect(said).toEqual([])
})

test('a timer that another process added is found within ten seconds of its time', async () => {
  run()
  await clock.advance(start)
  await add('o', start + 1)
  await clock.advance(start + 10_000)
  expect(said).toHaveLength(1)
})

test('a look finds a timer that was added during the look before', async () => {
  const expiry = run()
  const looks = [expiry.look(), add('o', start).then(() => expiry.look())]
  await Promise.all(looks)
  expect(said).toHaveLength(1)
})

test('an order has one running timer, also where two ask at once', async () => {
  const made = await Promise.all([add('o', start + 1), add('o', start + 2), add('o', start + 3)])
  expect(made.filter((timer) => timer !== undefined)).toHaveLength(1)
})

test('a timer that no saga asked for is told of under its order', async () => {
  await add('o', start, null)
  run()
  await clock.advance(start)
  expect(said[0]).toMatchObject({ correlationId: 'o', payload: { sagaId: null } })
})

test('a stop does not wait for ever for a transport that keeps a publish waiting', async () => {
  await add('o', start)
  let asked = 0
  const hanging: Transport = { ...transport, publish: () => new Promise(() => void (asked += 1)) }
  const { now, sleep } = clock
  const onProblem = (error: unknown): unknown => problems.push(error)
  const expiry = openExpiry({ db: database.db, transport: hanging, source: 'timer-service', now, sleep, onProblem })
  expiry.begin()
  await expect.poll(() => asked, { interval: 1 }).toBe(1)
  const stopping = expiry.stop()
  clock.alarm?.wake()
  await stopping
  expect(problems.map(String)).toEqual([
    'Error: publishing to timer_events is given up for now: the service is stopping',
  ])
  expect((await findTimerOfOrder(database.db, 'o'))?.state).toBe('RUNNING')
})

test('a timer that nobody takes the event of holds up no other, and is told of when somebody does', async () => {
  for (let i = 0; i < 250; i++) await add(`o${i}`, start + i)
  clock.ms = start + halfAnHour
  let taken = false
  const picky: Transport = {
    ...transport,
    async publish(channel, messages) {
      if (!taken && messages.some(({ correlationId }) => correlationId === 'saga-of-o3'))
        throw new Error('not this one')
      await transport.publish(channel, messages)
    },
  }
  const { now, sleep } = clock
  const onProblem = (error: unknown): unknown => problems.push(error)
  const expiry = openExpiry({ db: database.db, transport: picky, source: 'timer-service', now, sleep, onProblem })
  expiries.push(expiry)
  expiry.begin()
  await expect.poll(() => said).toHaveLength(249)
  await expiry.look()
  expect((await findTimerOfOrder(database.db, 'o3'))?.state).toBe('RUNNING')
  expect(new Set(problems.map(String))).toEqual(new Set(['Error: not this one']))
  taken = true
  await expiry.look()
  expect((await findTimerOfOrder(database.db, 'o3'))?.state).toBe('FIRED')
  expect(new Set(said.map(({ correlationId }) => correlationId)).size).toBe(250)
})
