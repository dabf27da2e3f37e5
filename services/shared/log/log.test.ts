import { pino } from 'pino'
import { expect, test } from 'vitest'
import { logOptions } from './log.ts'

function lineOf(fields: object): Record<string, unknown> {
  const lines: string[] = []
  pino(logOptions('payment', 'info'), { write: (line: string) => void lines.push(line) }).info(fields, 'said')
  expect(lines).toHaveLength(1)
  expect(lines[0]).toMatch(/^[^\n]+\n$/)
  return JSON.parse(lines[0] ?? '') as Record<string, unknown>
}

test('a line is JSON with the service, the time and what was said', () => {
  expect(lineOf({ sagaId: 's-1' })).toMatchObject({
    name: 'payment',
    msg: 'said',
    sagaId: 's-1',
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
  })
})

test('secrets and payment data are cut out, however deep they are', () => {
  const line = lineOf({
    authorization: 'Bearer hunter2',
    req: { headers: { authorization: 'Bearer hunter2', cookie: 'hunter2', host: 'localhost' } },
    message: { payload: { customer: { userStripeCard: { payment_method_id: 'hunter2' }, clerkUserId: 'cust_123' } } },
  })
  expect(JSON.stringify(line)).not.toContain('hunter2')
  expect(JSON.stringify(line)).toContain('cust_123')
  expect(line['req']).toEqual({ headers: { authorization: '[removed]', cookie: '[removed]', host: 'localhost' } })
})

test('of an error, its causes and codes are told, but not the rows and requests that clients hang on it', () => {
  const cause = Object.assign(new Error('duplicate key'), { code: '23505', detail: 'Key (card)=(hunter2) exists' })
  const error = Object.assign(new Error('not stored', { cause }), { raw: { card: 'hunter2' } })
  const line = lineOf({ err: error })
  expect(line['err']).toEqual({
    type: 'Error',
    message: 'not stored',
    stack: expect.stringContaining('log.test.ts'),
    cause: { type: 'Error', message: 'duplicate key', code: '23505', stack: expect.any(String) },
  })
  expect(JSON.stringify(line)).not.toContain('hunter2')
})

test('an error that is its own cause is told all the same', () => {
  const error = new Error('round')
  error.cause = error
  expect(JSON.stringify(lineOf({ err: error }))).toContain('round')
})
