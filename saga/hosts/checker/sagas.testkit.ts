/** Small sagas, each of one kind. All their steps answer alike, so that only the id of a command tells whose answer it is. */
import type { CommandContract, Schema } from '../../core/contract.ts'
import { participantContract } from '../../declare/contract.ts'
import type { SagaBuilder, StepOptions } from '../../declare/define.ts'
import { defineSaga } from '../../declare/define.ts'
import type { SagaDefinition, Settlement } from '../../core/definition.ts'
import type { RetryPolicy } from '../../core/retry.ts'

const anything: Schema<object, object> = {
  '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value: value as object }) },
}
const failure = anything as Schema<object> as Schema<{ readonly error: string }>

const at = (tries: number): RetryPolicy => ({ tries, firstMs: 0, factor: 1, maxMs: 0, jitter: 0 })

interface Kind {
  readonly tombstones?: boolean
  /** The command may be refused. */
  readonly refusable?: boolean
  /** The undo may be refused. */
  readonly undoRefusable?: boolean
  readonly safeOnNothing?: boolean
  readonly onUnknown?: Settlement
  readonly onRejected?: 'retry'
  readonly onExhausted?: 'continue'
  readonly undo?: boolean
  /** It is the pivot or comes after it: without an undo it has an effect all the same. */
  readonly last?: boolean
  readonly tries?: number
  readonly undoTries?: number
}

type Builder = SagaBuilder<object, unknown>
type Options = StepOptions<object, unknown, object, object, object, object, object, 'stop' | 'continue'>

function command(kind: Kind, refusable: boolean, safeOnNothing = false): CommandContract<object, object> {
  return participantContract('p', { tombstones: kind.tombstones ?? true }).command('c', {
    payload: anything,
    done: ['done', anything],
    ...(refusable ? { rejected: ['refused', failure] as const } : {}),
    safeOnNothing,
  })
}

const optionsOf = (kind: Kind): Options => ({
  do: command(kind, kind.refusable ?? true),
  with: () => ({}),
  ...(kind.undo === false
    ? kind.last === true
      ? {}
      : ({ effect: 'none' } as const)
    : {
        undo: command(kind, kind.undoRefusable ?? false, kind.safeOnNothing ?? true),
        undoWith: () => ({}),
      }),
  ...(kind.onUnknown === 'query' ? { query: command(kind, true), queryWith: () => ({}) } : {}),
  onUnknown: kind.onUnknown ?? 'repeat',
  onRejected: kind.onRejected ?? 'undo',
  onExhausted: kind.onExhausted ?? 'stop',
  retry: at(kind.tries ?? 2),
  undoRetry: at(kind.undoTries ?? 2),
  attemptMs: 0,
})

const begin = (): Builder => defineSaga('s', { version: 1, input: anything })

const add = (builder: Builder, name: string, kind: Kind = {}): Builder => builder.step(name, optionsOf(kind))

export const plain = (steps: number, kind: Kind = {}): SagaDefinition =>
  Array.from({ length: steps })
    .reduce<Builder>((builder, _none, index) => add(builder, `s${index}`, kind), begin())
    .end()

const read: Kind = { undo: false }
const pivotal: Kind = { undo: false, last: true }
const later: Kind = { ...pivotal, refusable: false }

export const sagas: Readonly<Record<string, SagaDefinition>> = {
  'one step': plain(1, { tries: 3, undoTries: 3, undoRefusable: true }),
  'two steps, undos that may be refused': plain(2, { undoRefusable: true }),
  'three steps': plain(3),
  'four steps': plain(4, { tries: 2, undoTries: 1 }),
  'five steps': plain(5, { undoTries: 1 }),
  'a step that only reads between two others': add(add(add(begin(), 'a'), 'b', read), 'c').end(),
  'an undo that is not safe on nothing': plain(2, { safeOnNothing: false }),
  'a participant without tombstones': plain(2, { tombstones: false }),
  'a participant without tombstones that is undone at once': plain(2, { tombstones: false, onUnknown: 'undo' }),
  'an unknown that is asked about': plain(2, { onUnknown: 'query', tries: 3 }),
  'an unknown that is undone at once': plain(3, { onUnknown: 'undo' }),
  'an unknown that parks': plain(2, { onUnknown: 'park' }),
  'a refusal that is tried again': plain(2, { onRejected: 'retry', tries: 3 }),
  'a pivot and a step after it': add(add(add(begin(), 'a'), 'b', pivotal).pivot(), 'c', later).end(),
  'a pivot that cannot be refused': add(add(begin(), 'a'), 'b', later).pivot().end(),
  'a step after the pivot that may be left out': add(add(add(begin(), 'a'), 'b', pivotal).pivot(), 'c', {
    ...pivotal,
    onRejected: 'retry',
    onExhausted: 'continue',
  }).end(),
  'a cancel after completion': add(add(add(begin(), 'a', { undoRefusable: true }), 'b', pivotal).pivot(), 'c', {
    onRejected: 'retry',
    onExhausted: 'continue',
  }).end({ cancelDecidedBy: 'a' as never }),
  'a parallel group': (
    add(begin(), 'a').parallel((group) => group.step('b', optionsOf({})).step('c', optionsOf({}))) as Builder
  ).end(),
  'a wait for an event': (
    add(begin(), 'a').wait('w', { for: { type: 'event', data: anything }, withinMs: 0 }) as Builder
  ).end(),
}
