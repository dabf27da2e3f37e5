/** What the checker is told, and what it tells. */
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { participantContract } from '../../declare/contract.ts'
import { decide } from '../../core/decide.ts'
import { defineSaga } from '../../declare/define.ts'
import type { CommandOptions } from '../../declare/contract.ts'
import { check } from './check.ts'

const Empty = z.looseObject({})
const Refused = z.object({ error: z.string() })
const shop = participantContract('shop', { tombstones: true })

const refusal = {
  type: 'reply',
  reply: { type: 'refused', payload: { error: 'no' }, causationId: 's:pay:do' },
} as const

const saga = (options: Partial<CommandOptions<object, object>> = {}, input = Empty as z.ZodType<object>) =>
  defineSaga('s', { version: 1, input })
    .step('pay', {
      do: shop.command<object, object>('pay', {
        payload: Empty,
        done: ['paid', Empty],
        rejected: ['refused', Refused],
        ...options,
      }),
      with: () => ({}),
      undo: shop.command('refund', { payload: Empty, done: ['refunded', Empty], safeOnNothing: true }),
      undoWith: () => ({}),
    })
    .end()

test('the same states are met each time', () => {
  expect(check(saga())).toEqual(check(saga()))
})

test('a fault is told as a story, with what nobody saw', () => {
  const { fault } = check(saga(), {
    rules: {
      // A time that is up is taken for a refusal.
      decide: (definition, state, input, now) =>
        decide(definition, state, input.type === 'time' && state?.status === 'STARTED' ? refusal : input, now),
    },
  })
  expect(fault).toEqual({
    promise: 'it is FAILED, but pay is still in effect',
    story: [
      'the saga starts: pay is asked',
      'shop does pay',
      'the time of pay comes: pay is rejected, it turns back, it is FAILED',
    ],
  })
})

describe('a saga that can never complete', () => {
  // What it keeps of each answer is no JSON, so that no answer is taken.
  const never = defineSaga('s', { version: 1, input: Empty })
    .step('read', {
      do: shop.command('read', { payload: Empty, done: ['was_read', Empty] }),
      with: () => ({}),
      effect: 'none',
      keep: () => new Date(0),
    })
    .end()

  test('is a fault, told by a way to where it comes farthest', () => {
    const { fault } = check(never)
    expect(fault).toEqual({ promise: 'it can never be COMPLETED', story: ['the saga starts: read is asked'] })
  })

  test('is none where it is meant so', () => {
    expect(check(never, { neverCompletes: true }).fault).toBeNull()
  })
})

test('more states than allowed are a fault: a walk that does not end shows nothing', () => {
  expect(check(saga(), { mostStates: 5 }).fault?.promise).toBe('it has more than 5 states')
})

describe('payloads', () => {
  const strange = z.object({ code: z.string().regex(/^[a-z]{3}-\d{4}$/) })
  const order = saga({ done: ['paid', strange] })

  test('that are not found are asked for by step', () => {
    expect(() => check(order)).toThrow(
      'no payload was found with which paid answers pay of step pay as done; give one that its schema, belongs and verdict take: { samples: { pay: { done: ... } } }.',
    )
  })

  test('are taken as they are given', () => {
    expect(check(order, { samples: { pay: { done: { code: 'abc-1234' } } } }).fault).toBeNull()
  })

  test('that are given must be what they are given for', () => {
    expect(() => check(order, { samples: { pay: { done: { code: 'x' } } } })).toThrow(
      /the payload that was given is none/,
    )
  })

  test('of the start and of events are asked for too', () => {
    expect(() => check(saga({}, strange))).toThrow(/no input for saga s was found .*give one.*\{ input: \.\.\. \}/)
    expect(check(saga({}, strange), { input: { code: 'abc-1234' } }).fault).toBeNull()
    const waits = defineSaga('s', { version: 1, input: Empty })
      .wait('w', { for: { type: 'came', data: strange }, withinMs: 1 })
      .end()
    expect(() => check(waits)).toThrow(/no payload of the event came was found/)
    expect(check(waits, { samples: { w: { event: { code: 'abc-1234' } } } }).fault).toBeNull()
    expect(check(waits, { events: { came: { code: 'abc-1234' } } }).fault).toBeNull()
  })
})
