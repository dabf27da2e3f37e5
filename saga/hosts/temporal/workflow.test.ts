/** What is said before a workflow of a saga begins: where it is declared, and to whoever starts it with other arguments. */
import { expect, test } from 'vitest'
import { order } from '../host-sagas.testkit.ts'
import type { Begin } from './protocol.ts'
import { foreignSagaWorkflow, sagaWorkflow } from './workflow.ts'

test.each([undefined, null, [], 'milk', { item: 'milk' }, { id: 'x', definition: 'order', version: 1 }])(
  'a workflow that is started with %j fails finally, and says what it is started with',
  async (given) => {
    await expect(sagaWorkflow(order)(given as unknown as Begin)).rejects.toMatchObject({
      name: 'ApplicationFailure',
      type: 'invalid_input',
      nonRetryable: true,
      message: expect.stringMatching(
        /^A workflow of sagaWorkflow is started by temporalHost, with one argument: \{ id, /,
      ),
    })
  },
)

test.each<[string, unknown, string]>([
  ['nothing', undefined, 'takes what defineSaga(...).end() has made; it was given undefined.'],
  ['an empty list', [], 'needs at least one definition; its list is empty.'],
  ['one version twice', [order, { ...order }], 'was given order version 1 twice: give one of them another version.'],
])('%s is refused where the workflow is declared', (_, given, why) => {
  expect(() => sagaWorkflow(given as typeof order)).toThrow(new TypeError(`sagaWorkflow ${why}`))
  const input = (all: unknown) => all
  expect(() => foreignSagaWorkflow(given as typeof order, { input })).toThrow(
    new TypeError(`foreignSagaWorkflow ${why}`),
  )
})
