/** Answers as the contract's originals and strangers send them: without ids, late, doubled, in another order, in other shapes. */
import { describe, expect, test } from 'vitest'
import { Run } from '../../../saga/core/saga.testkit.ts'
import { completeOrderSaga } from './saga.ts'

const order_id = 'order-1'
const begin = () => new Run(completeOrderSaga(), { order_id })

/** Says something as one does who does not know the ids of commands. */
const says = (run: Run, type: string, payload: unknown = { order_id }) =>
  run.input({ type: 'reply', reply: { type, payload } })

const delivered = (run: Run) => says(run, 'order.status_updated_to_delivered')
const runnerKnown = (run: Run) => says(run, 'runner.payment_info_retrieved', { payment_info: { anything: 1 } })
const released = (run: Run) => says(run, 'funds_released', { order_id, status: 'SUCCESS' })
const completed = (run: Run) => says(run, 'order.status_updated_to_completed')

/** Until this step is asked. */
function upTo(step: 'runner' | 'release' | 'complete' | 'end'): Run {
  const run = begin()
  delivered(run)
  if (step === 'runner') return run
  runnerKnown(run)
  if (step === 'release') return run
  released(run)
  if (step === 'complete') return run
  completed(run)
  return run
}

const refusedRelease = (): Run => {
  const run = upTo('release')
  says(run, 'payment.release_failed', { error: 'no funds', order_id })
  return run
}

const asked = (run: Run) => run.commands().map(({ type, payload }) => [type, payload])

describe('what the originals send', () => {
  test('completes a saga, and the runner’s payment information is passed on untouched', () => {
    const run = begin()
    expect(asked(run)).toEqual([['update_order_status', { order_id, status: 'DELIVERED' }]])
    delivered(run)
    expect(asked(run)).toEqual([['get_runner_payment_info', { order_id }]])
    runnerKnown(run)
    expect(asked(run)).toEqual([['release_funds', { order_id, runnerPaymentInfo: { anything: 1 } }]])
    released(run)
    expect(asked(run)).toEqual([['update_order_status', { order_id, status: 'COMPLETED' }]])
    completed(run)
    expect(run.status).toBe('COMPLETED')
  })

  test.each([
    ['payment.release_failed', { error: 'no funds', order_id }],
    ['complete_order_failed', { error: 'no funds' }],
  ])('%s takes the delivery back', (type, payload) => {
    const run = upTo('release')
    says(run, type, payload)
    expect([run.status, asked(run)]).toEqual([
      'COMPENSATING',
      [['update_order_status', { order_id, status: 'ON_THE_WAY' }]],
    ])
    says(run, 'order.status_updated_to_on_the_way')
    expect([run.status, run.state.error?.reason]).toEqual(['COMPENSATED', 'no funds'])
  })
})

describe('an answer counts only for what is outstanding', () => {
  test('one that comes before its command was sent counts for nothing', () => {
    const run = begin()
    for (const say of [runnerKnown, released, completed]) say(run)
    expect(run.open).toEqual(['S:deliver:do'])
    delivered(run)
    expect(run.open).toEqual(['S:runner:do'])
  })

  test('none that is repeated asks for anything again', () => {
    const run = begin()
    for (const say of [delivered, runnerKnown, released, completed]) {
      say(run)
      const open = run.open
      say(run)
      expect(run.open).toEqual(open)
    }
    expect(run.history.filter(({ type }) => type === 'StepAsked')).toHaveLength(4)
    for (const say of [delivered, runnerKnown, released, completed]) say(run)
    expect(run.status).toBe('COMPLETED')
  })

  test.each([
    ['a late success of the delivery', 'order.status_updated_to_delivered', { order_id }],
    ['one of the completion', 'order.status_updated_to_completed', { order_id }],
    ['a repeat of the refusal of the release', 'payment.release_failed', { error: 'no funds', order_id }],
    ['a late success of the release', 'funds_released', { order_id, status: 'SUCCESS' }],
    ['the undo of another order', 'order.status_updated_to_on_the_way', { order_id: 'order-2' }],
  ])('%s is no answer to the undo', (_what, type, payload) => {
    const run = refusedRelease()
    expect(says(run, type, payload)).toMatchObject([{ type: 'ReplyIgnored' }])
    expect([run.status, run.open, run.phase('deliver')]).toEqual(['COMPENSATING', ['S:deliver:undo'], 'undoing'])
    says(run, 'order.status_updated_to_on_the_way')
    expect(run.status).toBe('COMPENSATED')
  })

  test('nor is one of ours that names the delivery', () => {
    const run = refusedRelease()
    run.reply('deliver', 'order.status_updated_to_delivered', { order_id, previous_status: 'ON_THE_WAY' })
    expect([run.status, run.open]).toEqual(['COMPENSATING', ['S:deliver:undo']])
  })

  test.each(['payment.release_failed', 'complete_order_failed'])('%s about another order refuses nothing', (type) => {
    const run = upTo('release')
    says(run, type, { error: 'no', order_id: 'order-2' })
    expect([run.status, run.phase('release')]).toEqual(['STARTED', 'asked'])
  })

  test('payment.release_failed refuses the release alone', () => {
    for (const step of ['runner', 'complete'] as const) {
      const run = upTo(step)
      says(run, 'payment.release_failed', { error: 'no', order_id })
      expect([run.status, run.phase(step)]).toEqual(['STARTED', 'asked'])
    }
  })

  test('a success of the release that follows a refusal of its only try changes nothing', () => {
    const run = refusedRelease()
    released(run)
    says(run, 'order.status_updated_to_on_the_way')
    expect(run.status).toBe('COMPENSATED')
    released(run)
    expect(run.status).toBe('COMPENSATED')
  })

  test('of a release that was asked for twice a refusal proves nothing, and a success that follows counts', () => {
    const run = upTo('release').wake(2)
    expect(run.commands()).toMatchObject([{ type: 'release_funds', attempt: 2 }])
    says(run, 'payment.release_failed', { error: 'it was released before', order_id })
    expect(run.status).toBe('PARKED')
    released(run)
    expect([run.status, run.open]).toEqual(['STARTED', ['S:complete:do']])
  })

  test('after the release nothing is undone, however often the completion is refused', () => {
    const run = upTo('complete')
    for (let time = 0; time < 30; time++) {
      says(run, 'complete_order_failed', { error: 'no' })
      run.wake()
    }
    completed(run)
    expect(run.status).toBe('COMPLETED')
  })
})

describe('a refusal after a delivery that was asked for twice', () => {
  const twice = (): Run => {
    const run = begin().wake(2)
    expect(run.commands()).toMatchObject([{ type: 'update_order_status', attempt: 2 }])
    delivered(run)
    return run
  }

  test('is of the runner where that is outstanding: it can be undone either way', () => {
    const run = twice()
    says(run, 'complete_order_failed', { error: 'no account' })
    expect([run.status, run.open]).toEqual(['COMPENSATING', ['S:deliver:undo']])
  })

  test('is of the release where only that is refused by its type', () => {
    const run = twice()
    runnerKnown(run)
    says(run, 'payment.release_failed', { error: 'no funds', order_id })
    expect([run.status, run.state.error?.reason]).toEqual(['COMPENSATING', 'no funds'])
  })

  test('may be of either where its type does not say: nobody knows whether the runner was paid', () => {
    const run = twice()
    runnerKnown(run)
    says(run, 'complete_order_failed', { error: 'no' })
    expect([run.status, run.phase('release'), run.state.parked?.reason]).toEqual([
      'PARKED',
      'unknown',
      expect.stringContaining('no') as string,
    ])
  })
})

describe('whatever shape an answer has', () => {
  const cases = (...payloads: readonly unknown[]): readonly (readonly [unknown])[] => payloads.map((each) => [each])
  const odd = [null, 'ok', 7, true, [], {}, { order_id: 7, status: true, error: {} }, { ['__proto__']: 1 }]

  test.each(cases(...odd))('a payload that is not read may be %j', (payload) => {
    const run = begin()
    says(run, 'order.status_updated_to_delivered', payload)
    expect(run.open).toEqual(['S:runner:do'])
    runnerKnown(run)
    says(run, 'funds_released', payload)
    expect(run.open).toEqual(['S:complete:do'])
    says(run, 'order.status_updated_to_completed', payload)
    expect(run.status).toBe('COMPLETED')
  })

  test.each(cases(...odd))('a refusal with %j is one without a reason', (payload) => {
    for (const type of ['payment.release_failed', 'complete_order_failed']) {
      const run = upTo('release')
      says(run, type, payload)
      expect([run.status, run.state.error?.reason]).toEqual(['COMPENSATING', 'it was refused without a reason'])
    }
  })

  test.each(cases(...odd, { payment_info: null }, { payment_info: 'x' }, { payment_info: [] }))(
    'the answer about the runner with %j says that nothing is known',
    (payload) => {
      const run = upTo('runner')
      says(run, 'runner.payment_info_retrieved', payload)
      expect([run.status, run.state.error?.reason]).toEqual([
        'COMPENSATING',
        'nothing is known of how the runner is paid',
      ])
    },
  )

  test.each(['COMPLETED', 'PLACED', 'toString', '', ' ', 'x'.repeat(1000), 'a\u0000b', 7])(
    'a former status %j is none that a delivery is taken back to',
    (previous_status) => {
      const run = begin()
      says(run, 'order.status_updated_to_delivered', { previous_status })
      says(run, 'complete_order_failed', { error: 'no' })
      expect(asked(run)).toEqual([['update_order_status', { order_id, status: 'ON_THE_WAY' }]])
    },
  )

  test.each(['', 'a\u0000b', 'x'.repeat(501), 7, {}])('a runner %j is none', (runner_id) => {
    const run = begin()
    says(run, 'order.status_updated_to_delivered', { runner_id })
    expect(asked(run)).toEqual([['get_runner_payment_info', { order_id }]])
  })

  test('types that nobody knows, and the answers of other sagas’ participants, change nothing', () => {
    for (const step of ['runner', 'release', 'complete'] as const) {
      const run = upTo(step)
      const open = run.open
      for (const type of ['toString', '__proto__', '', 'order.status_updated', 'payment.released', 'FUNDS_RELEASED'])
        says(run, type)
      expect(run.open).toEqual(open)
    }
  })
})
