/** The host without a server: what it refuses before it asks. */
import { Client, Connection } from '@temporalio/client'
import { afterAll, expect, test } from 'vitest'
import { patient } from '../host-sagas.testkit.ts'
import { temporalHost } from './temporal-host.ts'

/** Nobody listens there. */
const connection = Connection.lazy({ address: '127.0.0.1:1' })
afterAll(() => connection.close())

const away = () =>
  temporalHost({ client: new Client({ connection }), taskQueue: 'none', definitions: [patient], answerMs: 1_000 })

test.each([
  ['', 'it is "".'],
  [null, 'it is null.'],
  [5, 'it is 5.'],
])('%j is no id to read a saga by, as it is none to cancel one by', async (id, shown) => {
  const host = away()
  const sagaId = id as string
  const refusal = { code: 'invalid_input', message: `the saga id must be a text of 1 to 10000 characters; ${shown}` }
  for (const asked of [
    () => host.cancel(sagaId, 'ann', 'x'),
    () => host.state(sagaId),
    () => host.history(sagaId),
    () => host.result(sagaId),
  ])
    await expect(asked()).rejects.toMatchObject(refusal)
})
