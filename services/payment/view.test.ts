import { expect, test } from 'vitest'
import type { PaymentRow, PaymentStatus } from './schema.ts'
import { shownStatus } from './view.ts'

const shown = (status: PaymentStatus, transfer_id: string | null) =>
  shownStatus({ status, intent_id: 'pi_1', transfer_id } as PaymentRow)

test('money that a runner has and gives back is not shown as his', () => {
  expect(shown('SUCCEEDED', 'tr_1')).toBe('SUCCEEDED')
  expect(shown('REVERTING', 'tr_1')).toBe('REVERTING')
  expect(shown('REVERTING', null)).toBe('REVERTING')
  expect(shown('REVERTED', 'tr_1')).toBe('REVERTED')
})

test('money on its way to a runner is not his yet', () => {
  expect([shown('RELEASING', null), shown('CAPTURED', null)]).toEqual(['AUTHORIZED', 'AUTHORIZED'])
})
