import { expect, test } from 'vitest'
import { z } from 'zod'
import type { Schema } from './contract.ts'
import { answerTypes, check, readReply } from './contract.ts'
import { participantContract } from '../declare/contract.ts'

const shop = participantContract('shop')
const buy = shop.command('buy', {
  payload: z.object({ item: z.string() }),
  done: ['bought', z.object({ status: z.string() })],
  rejected: ['not_bought', z.looseObject({ error: z.string() })],
  verdict: ({ status }) => (status === 'OK' ? null : status),
  belongs: ({ payload }) => (payload as { foreign?: boolean }).foreign !== true,
})
const asked = { item: 'milk' }

test.each([
  ['a success', 'bought', { status: 'OK' }, { kind: 'done', data: { status: 'OK' } }],
  ['a success that reports something else', 'bought', { status: 'SOLD' }, { kind: 'rejected', reason: 'SOLD' }],
  ['a refusal', 'not_bought', { error: 'none left', more: 1 }, { kind: 'rejected', reason: 'none left' }],
  ['an answer of another type', 'sold', {}, { kind: 'other' }],
  ['an answer to another command', 'bought', { foreign: true }, { kind: 'other' }],
  [
    'a success that cannot be read',
    'bought',
    { status: 1 },
    { kind: 'unreadable', why: expect.stringContaining('status') as string },
  ],
  [
    'an answer that its reader cannot bear',
    'bought',
    null,
    { kind: 'unreadable', why: expect.stringContaining('null') as string },
  ],
])('%s is read as such', (_what, type, payload, reading) => {
  expect(readReply(buy, asked, { type, payload })).toEqual(reading)
})

test('a command that cannot be refused has no refusal', () => {
  const look = shop.command('look', { payload: z.object({}), done: ['seen', z.object({})] })
  expect(readReply(look, {}, { type: 'refused', payload: {} })).toEqual({ kind: 'other' })
  expect(readReply(look, {}, { type: 'seen', payload: {} })).toEqual({ kind: 'done', data: {} })
  expect([look.rejected, look.tombstones, look.safeOnNothing]).toEqual([null, false, false])
  expect(buy.rejected?.refuse('none')).toEqual({ error: 'none' })
})

test('others on the same channel may say the same by other types', () => {
  const move = shop.command('move', {
    payload: z.object({}),
    done: ['moved', z.object({}), 'moved_there'],
    rejected: ['not_moved', z.object({ error: z.string() }), 'all_failed'],
  })
  expect(answerTypes(move)).toEqual(['moved', 'moved_there', 'not_moved', 'all_failed'])
  for (const type of ['moved', 'moved_there'])
    expect(readReply(move, {}, { type, payload: {} })).toEqual({ kind: 'done', data: {} })
  for (const type of ['not_moved', 'all_failed'])
    expect(readReply(move, {}, { type, payload: { error: 'no' } })).toEqual({ kind: 'rejected', reason: 'no' })
  expect(readReply(move, {}, { type: 'gone', payload: {} })).toEqual({ kind: 'other' })
})

const schema = (validate: Schema<unknown>['~standard']['validate']): Schema<unknown> => ({
  '~standard': { version: 1, vendor: 'test', validate },
})

test('a check never throws', () => {
  expect(check(z.object({ a: z.object({ b: z.number() }) }), { a: { b: 'x' } })).toMatchObject({
    ok: false,
    why: expect.stringMatching(/^a\.b: /) as string,
  })
  expect(
    check(
      schema(() => Promise.resolve({ value: 1 })),
      1,
    ),
  ).toMatchObject({ ok: false, why: expect.stringContaining('synchronous') as string })
  expect(
    check(
      schema(() => {
        throw new Error('boom')
      }),
      1,
    ),
  ).toMatchObject({ ok: false, why: expect.stringContaining('boom') as string })
  expect(
    check(
      schema(() => ({ issues: [{ message: 'bad' }, { message: 'worse', path: [{ key: 'x' }] }] })),
      1,
    ),
  ).toEqual({ ok: false, why: 'bad; x: worse' })
})
