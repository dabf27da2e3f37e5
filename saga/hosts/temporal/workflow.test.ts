/** What is said before a workflow of a saga begins: where it is declared, and to whoever starts it with other arguments. */
import { expect, test } from 'vitest'
import { order } from '../host-sagas.testkit.ts'
import type { Begin } from './protocol.ts'
import { sagaWorkflow } from './workflow.ts'

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
