/** What types cannot see at run time is refused at each entry, with what to give instead. */
import { describe, expect, test } from 'vitest'
import type { Action } from '../../core/act.ts'
import { labelOf } from '../label.ts'
import { memoryStore } from '../../stores/memory/memory-store.ts'
import { memoryTransport } from '../../transports/memory/memory-transport.ts'
import { startEngine } from './engine.ts'
import { milk, started } from './engine.testkit.ts'
import { shopSaga } from './shop.testkit.ts'

const good = () => ({ store: memoryStore(), transport: memoryTransport(), definitions: [shopSaga] })

describe('an engine is not started with', () => {
  test.each<readonly [string, Record<string, unknown>, RegExp]>([
    ['no store', { store: {} }, /store must be a store/],
    ['no transport', { transport: undefined }, /transport must be a transport/],
    ['no definitions', { definitions: [] }, /definitions must list at least one/],
    ['what is no definition', { definitions: [{ name: 'x' }] }, /definitions holds what no defineSaga/],
    ['an empty group', { group: '' }, /group must be a text of 1 to 200 characters; it is ""/],
    ['no lanes', { lanes: 0 }, /lanes must be a whole number from 1; it is 0/],
    ['a queue without a number', { maxQueued: '9' }, /maxQueued must be a whole number from 1; it is "9"/],
    [
      'heartbeats without end',
      { heartbeatMs: Infinity },
      /heartbeatMs must be a number of milliseconds; it is Infinity/,
    ],
    ['a hook that is none', { onProblem: 'log' }, /onProblem must be a function/],
  ])('%s', async (_what, options, says) => {
    await expect(startEngine({ ...good(), ...options })).rejects.toThrow(says)
  })
})

describe('a running engine', () => {
  const invalid = (says: RegExp) => ({ code: 'invalid_input', message: expect.stringMatching(says) as string })

  test('refuses an action that does not exist, and does nothing', async () => {
    const engine = await started()
    const { saga } = await engine.start(shopSaga, milk)
    const mistyped = { kind: 'rettry' } as unknown as Action
    await expect(engine.act(saga.id, mistyped, 'ann', 'x')).rejects.toMatchObject(
      invalid(/no action "rettry"; use retry, skip, resolve, giveUp/),
    )
    expect((await engine.get(saga.id))?.seq).toBe(1)
  })

  test('refuses requests without a saga, a name or a reason', async () => {
    const engine = await started()
    await expect(engine.cancel(undefined as never, 'ann', 'x')).rejects.toMatchObject(invalid(/saga id must be a text/))
    await expect(engine.cancel('x', '', 'x')).rejects.toMatchObject(invalid(/by, who asks, must be a text/))
    await expect(engine.cancel('x', 'ann', 7 as never)).rejects.toMatchObject(invalid(/reason must be a text/))
    await expect(engine.deliver({} as never)).rejects.toMatchObject(invalid(/sagaId must be a text/))
  })

  test('refuses to start what is no definition, or is registered with other steps', async () => {
    const engine = await started()
    await expect(engine.start(undefined as never, milk)).rejects.toMatchObject({ code: 'unknown_definition' })
    const other = { ...shopSaga, structureKey: 'other' }
    await expect(engine.start(other, milk)).rejects.toThrow(/registered, but with other steps/)
  })

  test.each([
    ['an empty key', ''],
    ['a long key', 'k'.repeat(201)],
    ['a key with NUL', 'a\0b'],
    ['a key with half a surrogate pair', 'a\ud800'],
  ])('refuses %s', async (_what, key) => {
    const engine = await started()
    await expect(engine.start(shopSaga, milk, { key })).rejects.toMatchObject(invalid(/idempotency key/))
  })

  test('refuses a status or page that does not exist', async () => {
    const engine = await started()
    await expect(engine.list({ status: 'DONE' as never })).rejects.toMatchObject(
      invalid(/no status "DONE"; use STARTED/),
    )
    await expect(engine.count({ createdFrom: NaN })).rejects.toMatchObject(invalid(/createdFrom must be Unix/))
    await expect(engine.list({}, { limit: NaN })).rejects.toMatchObject(invalid(/limit must be a number/))
  })
})

describe('a business key never harms its saga', () => {
  test.each([
    ['of 6,000 characters', 'x'.repeat(6000)],
    ['with NUL', 'a\0b'],
    ['with half a surrogate pair', 'a\ud800b'],
  ])('%s is cut and cleaned, and found by what was given', async (_what, item) => {
    const engine = await started()
    const { saga } = await engine.start(shopSaga, { item })
    expect(saga.businessKey).toBe(labelOf(item))
    expect((await engine.list({ businessKey: item })).items.map(({ id }) => id)).toEqual([saga.id])
  })
})
