/** What a runner is shown of a saga at moments that are hard to come by. */
import { expect, test } from 'vitest'
import { Run } from '../../../saga/core/saga.testkit.ts'
import { completeOrderPresenter } from './presenter.ts'
import { completeOrderSaga } from './saga.ts'

const begin = () => new Run(completeOrderSaga(), { order_id: 'o-1' })
const says = (run: Run, type: string, payload: unknown = {}) => run.input({ type: 'reply', reply: { type, payload } })
const shown = ({ state }: Run) => {
  const { status, currentStep, error } = completeOrderPresenter.viewOf({
    id: state.id,
    definition: state.definition,
    version: state.version,
    seq: 1,
    state,
    owner: '',
    key: null,
    fingerprint: '',
    businessKey: null,
    createdAt: 0,
    updatedAt: 0,
  })
  return { status, currentStep, error }
}

test('an undo that needs an operator is named as the step that it is of', () => {
  const run = begin()
  says(run, 'order.status_updated_to_delivered')
  says(run, 'complete_order_failed', { error: 'no account' })
  while (run.status === 'COMPENSATING') {
    says(run, 'complete_order_failed', { error: 'the order is COMPLETED' })
    run.wake()
  }
  expect(shown(run)).toEqual({
    status: 'PARKED',
    currentStep: 'UPDATE_ORDER_STATUS_TO_DELIVERED',
    error: 'UPDATE_ORDER_STATUS_TO_DELIVERED needs an operator: its undo failed: the order is COMPLETED',
  })
})

test('a reason that is a book is cut, and none of it is lost to a page by a NUL', () => {
  const run = begin()
  says(run, 'complete_order_failed', { error: `a\u0000b${'x'.repeat(1_000_000)}` })
  const { error = '' } = shown(run)
  expect(error).toMatch(/^The order could not be set to DELIVERED: abx+$/)
  expect(error.length).toBeLessThan(600)
})
