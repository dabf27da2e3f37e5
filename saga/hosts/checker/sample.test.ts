/** Values that schemas take, found by trying. */
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import type { Schema } from '../../core/contract.ts'
import { sampleOf } from './sample.ts'

const found = (schema: Schema<unknown>, search?: Parameters<typeof sampleOf>[1]): unknown =>
  sampleOf(schema, search)?.value

describe('a sample is found for', () => {
  test.each<[string, Schema<unknown>]>([
    ['an object of texts, numbers and flags', z.object({ a: z.string(), b: z.int(), c: z.boolean(), d: z.null() })],
    ['nested objects and lists', z.object({ a: z.object({ b: z.array(z.object({ c: z.string() })).min(1) }) })],
    ['a text of some form', z.object({ id: z.uuid(), mail: z.email(), url: z.url(), at: z.iso.datetime() })],
    ['what its messages name', z.object({ kind: z.enum(['red', 'blue']), is: z.literal('this') })],
    ['a text of some length', z.object({ a: z.string().min(30) })],
    ['a number in a range', z.object({ a: z.number().positive(), b: z.number().negative(), c: z.number().max(0.7) })],
    ['one of several', z.object({ a: z.union([z.object({ b: z.string() }), z.number()]) })],
    ['no object at all', z.string()],
    ['a transform, which is given what it takes', z.object({ at: z.string().transform(Number) })],
  ])('%s', (_what, schema) => {
    const value = found(schema)
    expect(schema['~standard'].validate(value)).not.toHaveProperty('issues')
  })
})

test('what a command asked for is tried first in its answer', () => {
  const schema = z.object({ status: z.string() })
  expect(found(schema, { like: { status: 'CREATED' } })).toEqual({ status: 'CREATED' })
})

test('fields that no schema names may have to be as they were asked for', () => {
  const fits = (value: unknown): boolean => (value as { readonly order?: unknown }).order === 'o-1'
  expect(found(z.looseObject({}), { like: { order: 'o-1', amount: 1 }, fits })).toMatchObject({ order: 'o-1' })
})

test('none is found where nothing fits, within bounds', () => {
  expect(sampleOf(z.object({ a: z.string().refine(() => false) }))).toBeNull()
  expect(sampleOf(z.looseObject({}), { fits: () => false })).toBeNull()
})

test('a schema that throws, or answers later, has none', () => {
  const odd = (validate: Schema<unknown>['~standard']['validate']): Schema<unknown> => ({
    '~standard': { version: 1, vendor: 'test', validate },
  })
  expect(
    sampleOf(
      odd(() => {
        throw new Error('broken')
      }),
    ),
  ).toBeNull()
  expect(sampleOf(odd(() => Promise.resolve({ value: 1 })))).toBeNull()
})
