/** Activities without a server: what functions say, and what is declared wrongly. */
import { expect, test } from 'vitest'
import { z } from 'zod'
import type { Command } from '../../core/pending.ts'
import { participantContract } from '../../declare/contract.ts'
import { defineSaga } from '../../declare/define.ts'
import { obey, sagaActivities, type Obeyed } from './activities.ts'

const payload = z.object({ text: z.string() })
const tell = participantContract('mail').notice('tell', { payload })
const note = defineSaga('note', { version: 1, input: payload })
  .step('tell', { do: tell, with: ({ input }) => input })
  .pivot()
  .end()

const command: Command = {
  id: 'note-1:tell:do',
  sagaId: 'note-1',
  step: 'tell',
  direction: 'do',
  type: tell.type,
  channel: tell.commandChannel,
  payload: { text: 'hi' },
  attempt: 1,
  participant: 'mail',
  unanswered: true,
  undoes: null,
}

test.each<[Obeyed<unknown>]>([[null], [{ done: null }], [{ done: { text: 'hi' } }], [{ rejected: 'no such box' }]])(
  'a notice is done once its function has returned, also with %j',
  async (returned) => {
    const { tell: activity } = sagaActivities({ definitions: [note], functions: [obey(tell, async () => returned)] })
    expect(await activity?.(command, 1000)).toBeNull()
  },
)

test('a notice whose function throws is not known to be done', async () => {
  const failing = obey(tell, async () => Promise.reject(new Error('the mail server is away')))
  const { tell: activity } = sagaActivities({ definitions: [note], functions: [failing] })
  await expect(activity?.(command, 1000)).rejects.toThrow('the mail server is away')
})

test('two functions for one contract are refused', () => {
  const functions = [obey(tell, async () => null), obey(tell, async () => null)]
  expect(() => sagaActivities({ definitions: [note], functions })).toThrow(
    new TypeError('sagaActivities was given two functions for tell: leave one of them out.'),
  )
})

test('a function is for a contract, and a contract needs a function', () => {
  const nothing = undefined as unknown
  expect(() => obey(nothing as typeof tell, async () => null)).toThrow(
    new TypeError("obey needs a command's contract, as participantContract makes it; it was given undefined."),
  )
  expect(() => obey(tell, nothing as () => Promise<null>)).toThrow(
    new TypeError('obey needs the function that obeys tell.'),
  )
})

test('a command that nobody obeys is refused, but where a workflow calls it as an activity of others', () => {
  expect(() => sagaActivities({ definitions: [note] })).toThrow(/^nobody obeys tell: .* in foreign\.$/)
  expect(sagaActivities({ definitions: [note], foreign: [tell] })).toEqual({})
})
