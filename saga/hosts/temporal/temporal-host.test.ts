/** The host without a server: what it refuses before it asks. */
import { getEventListeners } from 'node:events'
import { Client, Connection } from '@temporalio/client'
import { afterAll, expect, test, vi } from 'vitest'
import { patient } from '../host-sagas.testkit.ts'
import { temporalHost } from './temporal-host.ts'

/** Nobody listens there. */
const connection = Connection.lazy({ address: '127.0.0.1:1' })
afterAll(() => connection.close())

const away = (answerMs = 1_000) =>
  temporalHost({ client: new Client({ connection }), taskQueue: 'none', definitions: [patient], answerMs })

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

test('a wait gathers nothing with each look, however often it looks', async () => {
  const client = new Client({ connection })
  const asked = vi.spyOn(client, 'withAbortSignal')
  const host = temporalHost({ client, taskQueue: 'none', definitions: [patient], answerMs: 10 })
  const wait = host.result('x').catch((error: unknown) => error)
  await vi.waitFor(() => expect(asked.mock.calls.length).toBeGreaterThan(6), { timeout: 20_000 })
  const signals = new Set(asked.mock.calls.map(([signal]) => signal))
  for (const signal of signals) expect(getEventListeners(signal, 'abort').length).toBeLessThan(6)
  await host.stop()
  expect(await wait).toMatchObject({ code: 'stopped' })
}, 30_000)

test('a Temporal that is away: a read has changed nothing, and only a start has a key to ask again with', async () => {
  const host = away()
  const busy = { code: 'busy', retryable: true }
  for (const read of [() => host.state('x'), () => host.history('x')])
    await expect(read()).rejects.toMatchObject({
      ...busy,
      message: expect.stringMatching(
        /^Temporal, or a worker that has this saga, did not answer \(.*\)\. Ask again\.$/s,
      ),
    })
  for (const request of [() => host.cancel('x', 'ann', 'x'), () => host.act('x', { kind: 'retry' }, 'ann', 'x')])
    await expect(request()).rejects.toMatchObject({
      ...busy,
      message: expect.stringMatching(/may or may not have taken effect\. Read the state of the saga, or ask again\.$/),
    })
  await expect(host.start(patient, { item: 'milk' }, { key: 'k' })).rejects.toMatchObject({
    ...busy,
    message: expect.stringMatching(/may or may not have taken effect\. Ask again, with the same key\.$/),
  })
}, 30_000)

test('a wait that is called off ends at once, although nobody answers', async () => {
  const waitEnded = { code: 'stopped', message: expect.stringContaining('The wait for saga x was ended') }
  const host = away(600_000)
  const calledOff = new AbortController()
  const waits = [host.result('x', { signal: calledOff.signal }), host.result('x')]
  const [byCaller, byHost] = waits.map((wait) => expect(wait).rejects.toMatchObject(waitEnded))
  calledOff.abort()
  await byCaller
  await host.stop()
  await byHost
}, 20_000)
