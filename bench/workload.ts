/**
 * The workload: five steps, participants in this process that return 200 bytes at once, 500 bytes of input, every move
 * durable before the next. Variants: all five done; the fourth refuses and the steps before it that can be undone (two of
 * them) are undone.
 */
import { defineSaga } from 'ordersaga'
import { participantContract } from 'ordersaga/contract'
import type { Message, Transport } from 'ordersaga/transport'
import { z } from 'zod'

const work = participantContract('work', { tombstones: true })
const Answer = z.looseObject({ ref: z.string() })
export const ask = work.command('do_work', {
  payload: z.looseObject({}),
  done: ['work.done', Answer],
  rejected: ['work.refused', z.looseObject({ error: z.string() })],
})
export const undo = work.command('undo_work', {
  payload: z.looseObject({}),
  done: ['work.undone', z.looseObject({})],
  safeOnNothing: true,
})

const Input = z.object({ text: z.string(), refuse: z.boolean() })

const undoable = { undo, undoWith: ({ reply }: { reply: { ref: string } | undefined }) => ({ ref: reply?.ref }) }
const keep = ({ ref }: { ref: string }): { ref: string } => ({ ref })

export const fiveSteps = defineSaga('five-steps', { version: 1, input: Input })
  .step('one', { do: ask, with: ({ input }) => ({ text: input.text }), ...undoable, keep })
  .step('two', { do: ask, with: () => ({}), effect: 'none', keep })
  .step('three', { do: ask, with: ({ replies }) => ({ one: replies.one.ref }), ...undoable, keep })
  .step('four', { do: ask, with: ({ input }) => ({ refuse: input.refuse }), effect: 'none', keep })
  .step('five', { do: ask, with: ({ replies }) => ({ four: replies.four.ref }), effect: 'none', keep })
  .end()

/** As the first of the five, to see what a step costs. */
export const oneStep = defineSaga('one-step', { version: 1, input: Input })
  .step('one', { do: ask, with: ({ input }) => ({ text: input.text }), ...undoable, keep })
  .end()

export const input = (refuse: boolean): z.infer<typeof Input> => ({ text: 'x'.repeat(470), refuse })

export const ref = 'r'.repeat(180)

/** A participant without a store of its own, since the engine is what is measured. */
export const answerAtOnce = (transport: Transport): Promise<unknown> =>
  transport.subscribe('work_commands', 'work', (batch) => transport.publish('work_events', batch.map(answer)))

function answer(command: Message): Message {
  const { refuse } = command.payload as { refuse?: boolean }
  const [type, payload] =
    command.type === 'undo_work'
      ? ['work.undone', {}]
      : refuse === true
        ? ['work.refused', { error: 'no' }]
        : ['work.done', { ref }]
  return {
    id: `${command.id}:reply`,
    type,
    correlationId: command.correlationId,
    causationId: command.id,
    timestamp: command.timestamp,
    payload,
  }
}

/** Two hundred steps, for what a late step costs. */
export const manySteps = Array.from({ length: 199 })
  .reduce<ReturnType<typeof firstStep>>(
    (saga, _none, index) => saga.step(`step${index + 2}`, { do: ask, with: () => ({}), effect: 'none', keep }),
    firstStep(),
  )
  .end()

function firstStep() {
  return defineSaga('many-steps', { version: 1, input: Input }).step('step1', {
    do: ask,
    with: () => ({}),
    ...undoable,
    keep,
  })
}
