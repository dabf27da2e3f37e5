/** Every route of the shell against its own description: whatever is asked, the answer is one that the API page names. */
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openHouse, type House } from './house.testkit.ts'

interface Operation {
  readonly path: string
  readonly method: string
  readonly parameters: readonly { readonly name: string; readonly in: string }[]
  readonly responses: Readonly<Record<string, unknown>>
}

let house: House
let operations: readonly Operation[]
let saga: string

beforeAll(async () => {
  house = await openHouse()
  saga = await house.start()
  const { body } = await house.call('GET', '/openapi.json')
  const { paths } = body as { readonly paths: Readonly<Record<string, Readonly<Record<string, Partial<Operation>>>>> }
  operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { parameters = [], responses = {} }]) => ({
      path,
      method: method.toUpperCase(),
      parameters,
      responses,
    })),
  )
})
afterAll(() => house.close())

const text = fc.oneof(
  fc.string({ maxLength: 20 }),
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.constantFrom('', '0', '-1', '1e999', 'NaN', '9'.repeat(40), 'x'.repeat(300), 'PARKED', '2026-01-01T00:00:00Z'),
)
const action = fc.record({
  action: fc.oneof(fc.record({ kind: fc.constantFrom('retry', 'skip', 'resolve', 'giveUp', 'cancel') }), fc.json()),
  by: fc.oneof(text, fc.constant('jane')),
  reason: fc.oneof(text, fc.constant('r')),
  filter: fc.oneof(fc.record({ key: text }), fc.constant({ key: 'nobody' }), fc.json()),
  limit: fc.oneof(fc.integer(), fc.constant(10)),
})
const body = fc.oneof(
  fc.jsonValue().map((value) => JSON.stringify(value)),
  action.map((value) => JSON.stringify(value)),
  fc.record({ guest: text }).map((value) => JSON.stringify(value)),
  fc.string(),
)
const contentType = fc.constantFrom('application/json', 'application/json', 'text/plain', 'application/xml')
const asked = fc.record({
  at: fc.nat(),
  id: fc.oneof(text, fc.constant('nowhere'), fc.constant('own')),
  values: fc.array(text, { minLength: 8, maxLength: 8 }),
  body,
  contentType,
  lastSeen: fc.oneof(fc.constantFrom('0', '1000000', '-1', 'x'), fc.constant(undefined)),
})

test('whatever comes is answered below 500, with a status that the API page names', async () => {
  await fc.assert(
    fc.asyncProperty(asked, async ({ at, id, values, body, contentType, lastSeen }) => {
      const { path, method, parameters, responses } = operations[at % operations.length] as Operation
      const named = encodeURIComponent(id === 'own' ? saga : id)
      if (['', '.', '..'].includes(named)) return // the path of another route
      const query = new URLSearchParams(
        parameters
          .filter((parameter) => parameter.in === 'query')
          .map(({ name }, index): [string, string] => [name, values[index % values.length] ?? ''])
          .filter((_, index) => index % 2 === at % 2),
      )
      const answer = await fetch(`${house.url}${path.replace('{saga_id}', named)}?${query.toString()}`, {
        method,
        headers: {
          ...(method === 'GET' ? {} : { 'content-type': contentType }),
          ...(lastSeen === undefined ? {} : { 'last-event-id': lastSeen }),
        },
        ...(method === 'GET' ? {} : { body }),
      })
      await answer.body?.cancel() // a stream goes on
      expect([method, path, Object.keys(responses).includes(String(answer.status)), answer.status]).toEqual([
        method,
        path,
        true,
        answer.status,
      ])
      expect(answer.status).toBeLessThan(500)
    }),
    { numRuns: 1500 },
  )
}, 60_000)
