/** What the originals' activities return, and how ours fail, as what a saga is told. */
import type { Outcome } from 'ordersaga/temporal/workflow'
import { describe, expect, test } from 'vitest'
import { callBy, hears } from './hearing.ts'

const failed = (isFinal: boolean): Outcome => ({ failed: { type: 'Refused', message: 'no', isFinal } })

describe('what an activity returns', () => {
  test('of one that says whether it was done, only `true` is that', () => {
    expect(hears.word({ result: true })).toEqual({ done: {} })
    for (const [result, said] of [
      [false, 'false'],
      [null, 'null'],
      [undefined, 'nothing'],
      [{}, '{}'],
      ['true', '"true"'],
      [1, '1'],
    ])
      expect(hears.word({ result })).toEqual({ rejected: `it said ${said as string}` })
  })

  test('of one that says an id, nothing else than a text with something in it is one', () => {
    const text = hears.text('there is none')
    expect(text({ result: 'pay_1' })).toEqual({ done: 'pay_1' })
    for (const result of ['', null, undefined, {}, [], 7, true])
      expect(text({ result })).toEqual({ rejected: 'there is none' })
  })

  test('of one whose result is read by the contract, it is that', () => {
    expect(hears.value({ result: { status: 'PLACED' } })).toEqual({ done: { status: 'PLACED' } })
  })
})

describe.each(Object.entries({ ...hears, text: hears.text('there is none') }))(
  'an activity that fails (%s)',
  (_, hear) => {
    test('finally has refused', () => {
      expect(hear(failed(true))).toEqual({ rejected: 'no' })
    })

    test('otherwise has said nothing: the outcome is unknown', () => {
      expect(hear(failed(false))).toBeNull()
    })
  },
)

describe('a command', () => {
  const command = (type: string) =>
    ({ type, payload: { id: '7' } }) as unknown as Parameters<ReturnType<typeof callBy>>[0]
  const call = callBy({ fetch: ({ id }) => ({ args: [id], hear: hears.value }) })

  test('is called by its type, with its fields as arguments', () => {
    expect(call(command('fetch'))).toEqual({ activity: 'fetch', args: ['7'], hear: hears.value })
  })

  test('that nobody described is none of theirs', () => {
    expect(call(command('bring'))).toBeNull()
  })
})
