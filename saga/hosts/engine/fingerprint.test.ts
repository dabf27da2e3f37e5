import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineSaga } from '../../declare/define.ts'
import { started } from './engine.testkit.ts'
import { fingerprintOf } from './fingerprint.ts'
import { shopSaga } from './shop.testkit.ts'

test('plain JSON is told by its text with sorted keys, so that keys of earlier builds stay comparable', () => {
  const text = '["shop",{"a":[1,-2.5,"x",null,true],"b":{}}]'
  const value = ['shop', { b: { none: undefined }, a: [1, -2.5, 'x', null, true] }]
  expect(fingerprintOf(value)).toBe(createHash('sha256').update(text).digest('base64url'))
})

class Money {
  readonly #minor: number
  constructor(minor: number) {
    this.#minor = minor
  }
  toString(): string {
    return String(this.#minor)
  }
}

class Point {
  readonly x: number
  constructor(x: number) {
    this.x = x
  }
}

const circle = (name: string) => {
  const made: Record<string, unknown> = { name }
  made['self'] = made
  return made
}

describe('two of them differ, and each is the same as its copy:', () => {
  test.each<[string, () => unknown, () => unknown]>([
    ['dates', () => new Date(1), () => new Date(2)],
    ['a date and its text', () => new Date(0), () => new Date(0).toJSON()],
    ['bigints', () => 1n, () => 2n],
    ['a bigint and its text', () => 1n, () => '1'],
    ['maps', () => new Map([['a', new Date(1)]]), () => new Map([['a', new Date(2)]])],
    ['sets', () => new Set([1, 2]), () => new Set([1, 3])],
    ['bytes', () => new Uint8Array([1]), () => new Uint8Array([2])],
    ['buffers', () => new Uint8Array([1]).buffer, () => new Uint8Array([2]).buffer],
    ['addresses', () => new URL('http://a/'), () => new URL('http://b/')],
    ['objects of a class', () => new Point(1), () => new Point(2)],
    ['objects that hide what they hold', () => new Money(1), () => new Money(2)],
    ['numbers that are none', () => NaN, () => null],
    ['circles', () => circle('a'), () => circle('b')],
    ['symbols', () => Symbol('a'), () => Symbol('b')],
  ])('%s', (_what, one, other) => {
    expect(fingerprintOf({ in: one() })).toBe(fingerprintOf({ in: one() }))
    expect(fingerprintOf({ in: one() })).not.toBe(fingerprintOf({ in: other() }))
  })

  test('the order of a map or set is of no matter', () => {
    expect(fingerprintOf(new Set(['a', 'b']))).toBe(fingerprintOf(new Set(['b', 'a'])))
  })
})

test('a key is compared by what was handed in, never by what the schema makes of it', async () => {
  let calls = 0
  const input = z.object({
    at: z.date().transform((at) => at.toISOString().slice(0, 10)),
    call: z.number().default(() => (calls += 1)),
  })
  const dated = defineSaga('dated', { version: 1, input })
    .step('reserve', { do: shopSaga.steps[0]!.do!, with: () => ({}), effect: 'none' })
    .end()
  const engine = await started({ definitions: [dated] })
  const first = await engine.start(dated, { at: new Date('2026-01-01T08:00:00Z') }, { key: 'k' })
  const again = await engine.start(dated, { at: new Date('2026-01-01T08:00:00Z') }, { key: 'k' })
  expect([again.id, again.fresh, calls]).toEqual([first.id, false, 2])
  const other = engine.start(dated, { at: new Date('2026-01-01T09:00:00Z') }, { key: 'k' })
  await expect(other).rejects.toMatchObject({ code: 'key_reused' })
})
