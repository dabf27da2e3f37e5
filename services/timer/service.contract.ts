/** What the Timer Service does, on either database, seen from outside. Time stands still unless a test moves it. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { running, type NewPlace, type Place, type Running } from '../shared/testing/running.ts'
import { cancelOrderTimer, startOrderTimer } from './messages.ts'
import { openTimerService } from './service.ts'

const noon = Date.UTC(2026, 0, 1, 12)
const minute = 60_000

export function timerServiceContract(name: string, newPlace: NewPlace): void {
  describe(`the Timer Service on ${name}`, () => {
    let place: Place
    let timer: Running
    let now: number
    let wake: () => void

    const start = async (): Promise<void> => {
      timer = await running(
        place,
        'timer',
        (options) =>
          openTimerService({
            ...options,
            sleep: (_ms, ring) => {
              wake = ring
              return () => undefined
            },
          }),
        () => now,
      )
    }
    const startTimer = (order_id: string, timeout_at = '2026-01-01T12:30:00', asked = {}) =>
      timer.ask(startOrderTimer, { order_id, customer_id: 'cust_123', timeout_at }, asked)
    const timeouts = () => timer.heard.filter(({ type }) => type === 'ORDER_TIMEOUT')
    const check = () => timer.get('/check-order-timeout')
    const timerOf = async (orderId: string) => (await timer.get(`/timers/order/${orderId}`)).body

    beforeEach(async () => {
      now = noon
      place = await newPlace()
      await start()
    })
    afterEach(async () => {
      await timer.close()
      await place.remove?.()
    })

    test('start_order_timer starts a timer and says until when', async () => {
      const answer = await startTimer('o1', '2026-01-01T20:30:00+08:00', { sagaId: 's1' })
      expect(answer.message).toMatchObject({
        type: 'timer.started',
        correlationId: 's1',
        source: 'timer-service',
        payload: {
          order_id: 'o1',
          timeout_at: '2026-01-01T12:30:00.000',
          timer_set_at: '2026-01-01T12:00:00.000',
          status: 'RUNNING',
        },
      })
    })

    test('the saga is told once its time has come, and not before', async () => {
      const started = await startTimer('o1', undefined, { sagaId: 's1' })
      now = noon + 30 * minute - 1
      await check()
      expect(timeouts()).toEqual([])
      now += 1
      wake()
      await expect.poll(timeouts).toHaveLength(1)
      expect(timeouts()[0]).toMatchObject({
        correlationId: 's1',
        payload: {
          timerId: (started.message.payload as { timer_id: string }).timer_id,
          orderId: 'o1',
          customerId: 'cust_123',
          sagaId: 's1',
          expiresAt: '2026-01-01T12:30:00.000',
        },
      })
      await check()
      expect(timeouts()).toHaveLength(1)
    })

    test('a timer survives a restart, also one that expires meanwhile', async () => {
      await startTimer('o1')
      await timer.close()
      now = noon + 60 * minute
      await start()
      await expect.poll(timeouts).toHaveLength(1)
    })

    test('a time in the past is told of at once, without anybody asking', async () => {
      await startTimer('o1', '2026-01-01T11:00:00Z')
      await expect.poll(timeouts).toHaveLength(1)
    })

    test('a command that comes again under another id is answered with the same timer', async () => {
      const [first, second] = [await startTimer('o1'), await startTimer('o1', '2026-01-01T18:00:00')]
      expect(second.message.payload).toEqual(first.message.payload)
    })

    test('a timer that was started over HTTP becomes that of the saga that asks for one, with its time', async () => {
      await timer.send('POST', '/test-quick-timer', { orderId: 'o1', customerId: 'cust_123' })
      await startTimer('o1', undefined, { sagaId: 's1' })
      expect(await timerOf('o1')).toMatchObject({ timer: { expiresAt: '2026-01-01T12:30:00.000' } })
      now = noon + 30 * minute
      await check()
      expect(timeouts()).toMatchObject([{ correlationId: 's1', payload: { orderId: 'o1', sagaId: 's1' } }])
    })

    test('a timer that is started over HTTP after that of a saga is told to the saga', async () => {
      await startTimer('o1', undefined, { sagaId: 's1' })
      now = noon + 30 * minute
      await check()
      await timer.send('POST', '/test-quick-timer', { orderId: 'o1', customerId: 'cust_123' })
      now += minute
      await check()
      expect(timeouts().map(({ correlationId }) => correlationId)).toEqual(['s1', 's1'])
    })

    test('a time that is none is refused with the field', async () => {
      expect(await startTimer('o1', 'in half an hour')).toMatchObject({
        kind: 'rejected',
        reason: expect.stringContaining('timeout_at'),
      })
    })

    test('the undo cancels the timer, named by its order or only by the command', async () => {
      await startTimer('o1', undefined, { id: 'c1' })
      await startTimer('o2', undefined, { id: 'c2' })
      expect(await timer.ask(cancelOrderTimer, { order_id: 'o1', reason: 'r' })).toMatchObject({ kind: 'done' })
      expect(await timer.ask(cancelOrderTimer, {}, { undoes: 'c2' })).toMatchObject({
        kind: 'done',
        data: { order_id: 'o2' },
      })
      now = noon + 60 * minute
      await check()
      expect(timeouts()).toEqual([])
    })

    test('an undo that comes first keeps the late command out', async () => {
      expect(await timer.ask(cancelOrderTimer, {}, { undoes: 'c1' })).toMatchObject({ kind: 'done' })
      expect(await startTimer('o1', undefined, { id: 'c1' })).toMatchObject({ kind: 'rejected' })
      expect(await timer.get('/timers/order/o1')).toMatchObject({ status: 404 })
    })

    test('over HTTP a timer runs for 30 minutes, one per order', async () => {
      const body = { orderId: 'o1', customerId: 'cust_123' }
      const started = await timer.send('POST', '/start-request-timer', body)
      expect(started).toMatchObject({ status: 201, body: { success: true, expiresAt: '2026-01-01T12:30:00.000' } })
      expect(await timer.send('POST', '/start-request-timer', body)).toMatchObject({
        status: 400,
        body: { success: false, message: expect.stringContaining('o1') },
      })
      const { timerId } = started.body as { timerId: string }
      const shown = {
        success: true,
        timer: {
          timerId,
          customerId: 'cust_123',
          runnerId: null,
          orderId: 'o1',
          runnerAccepted: false,
          createdAt: '2026-01-01T12:00:00.000',
          expiresAt: '2026-01-01T12:30:00.000',
        },
      }
      expect((await timer.get(`/timers/${timerId}`)).body).toEqual(shown)
      expect(await timerOf('o1')).toEqual(shown)
      now = noon + 30 * minute
      await check()
      await expect.poll(timeouts).toMatchObject([{ correlationId: 'o1', payload: { sagaId: null } }])
    })

    test('the quick timer runs for a minute', async () => {
      const body = { orderId: 'o1', customerId: 'cust_123' }
      expect(await timer.send('POST', '/test-quick-timer', body)).toMatchObject({
        status: 201,
        body: { expiresAt: '2026-01-01T12:01:00.000' },
      })
    })

    test('a runner who accepts stops the timer, once', async () => {
      await startTimer('o1')
      const stop = () => timer.send('POST', '/stop-request-timer', { orderId: 'o1', runnerId: 'runner_123' })
      expect(await stop()).toMatchObject({ status: 200, body: { success: true } })
      expect(await timerOf('o1')).toMatchObject({ timer: { runnerAccepted: true, runnerId: 'runner_123' } })
      expect(await stop()).toMatchObject({ status: 400, body: { message: expect.stringContaining('accepted') } })
      expect(await timer.send('POST', '/cancel-timer', { orderId: 'o1' })).toMatchObject({ status: 404 })
      now = noon + 60 * minute
      await check()
      expect(timeouts()).toEqual([])
    })

    test('a timer is called off, and after that started anew', async () => {
      await startTimer('o1')
      const cancel = () => timer.send('POST', '/cancel-timer', { orderId: 'o1' })
      expect(await cancel()).toMatchObject({ status: 200 })
      expect(await cancel()).toMatchObject({ status: 200 })
      now += 1
      expect(await startTimer('o1')).toMatchObject({ kind: 'done', data: { status: 'RUNNING' } })
    })

    test.each([
      ['POST', '/stop-request-timer', { orderId: 'nothing', runnerId: 'runner_123' }, 404],
      ['POST', '/cancel-timer', { orderId: 'nothing' }, 404],
      ['POST', '/cancel-timer', {}, 400],
      ['POST', '/start-request-timer', { orderId: 'o1' }, 400],
    ] as const)('%s %s %j is answered with %i and a sentence', async (method, path, body, status) => {
      expect(await timer.send(method, path, body)).toMatchObject({
        status,
        body: { success: false, message: expect.stringMatching(/\w+ \w+/) },
      })
    })

    test('it is healthy with its parts', async () => {
      await expect.poll(() => timer.get('/health')).toEqual({ status: 200, body: { status: 'healthy' } })
    })
  })
}
