/** Facts that hold for every definition and every sequence of inputs, however absurd. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Input } from './decide.ts'
import { decide, replay } from './decide.ts'
import type { SagaBuilder, StepOptions } from '../declare/define.ts'
import { defineSaga } from '../declare/define.ts'
import type { SagaDefinition } from './definition.ts'
import type { Event } from './events.ts'
import { evolve, stepOf } from './evolve.ts'
import { commandId, pending, type Direction } from './pending.ts'
import { ask, Empty, foreignAsk, freeze, sure, undo } from './saga.testkit.ts'
import type { SagaState } from './state.ts'
import { hasEnded, isSettled } from './state.ts'

interface Plan {
  readonly undo: 'safe' | 'unsafe' | 'none'
  readonly foreign: boolean
  readonly onUnknown: 'repeat' | 'query' | 'undo' | 'park'
  readonly retry: boolean
  readonly tries: number
  readonly stepMs: number | null
  readonly jitter: number
  readonly paired: boolean
}

const plan: fc.Arbitrary<Plan> = fc.record({
  undo: fc.constantFrom('safe', 'unsafe', 'none'),
  foreign: fc.boolean(),
  onUnknown: fc.constantFrom('repeat', 'query', 'undo', 'park'),
  retry: fc.boolean(),
  tries: fc.integer({ min: 1, max: 3 }),
  stepMs: fc.option(fc.integer({ min: 0, max: 5000 })),
  jitter: fc.double({ min: 0, max: 1, noNaN: true }),
  paired: fc.boolean(),
})

type Options = StepOptions<object, unknown, object, object, unknown, object, object, 'stop' | 'continue'>

function optionsOf(name: string, { undo: how, foreign, onUnknown, retry, tries, stepMs, jitter }: Plan): Options {
  const policy = { tries, firstMs: 50, factor: 2, maxMs: 400, jitter }
  const settled = onUnknown === 'undo' && how !== 'safe' ? 'repeat' : onUnknown
  return {
    do: foreign ? foreignAsk(name) : ask(name),
    with: () => ({}),
    ...(how === 'none' ? { effect: 'none' } : { undo: undo(name, how === 'safe'), undoWith: () => ({}) }),
    ...(settled === 'query' ? { query: ask(`q${name}`), queryWith: () => ({}) } : {}),
    onUnknown: settled,
    onRejected: retry ? 'retry' : 'undo',
    retry: policy,
    attemptMs: 300,
    ...(stepMs === null ? {} : { stepMs }),
  }
}

type Builder = SagaBuilder<object, unknown>

/** What a definition is made from; plain data, so that a counterexample can be read. */
interface Recipe {
  readonly plans: readonly Plan[]
  readonly pivot: boolean
  readonly wait: boolean
  readonly after: boolean
  readonly late: boolean
  readonly deadlineMs: number | null
}

const recipe: fc.Arbitrary<Recipe> = fc.record({
  plans: fc.array(plan, { minLength: 1, maxLength: 5, size: 'max' }),
  pivot: fc.boolean(),
  wait: fc.boolean(),
  after: fc.boolean(),
  late: fc.boolean(),
  deadlineMs: fc.option(fc.integer({ min: 0, max: 3000 })),
})

function sagaOf({ plans, pivot, wait, after, late, deadlineMs }: Recipe): SagaDefinition {
  const cancellable = late && plans[0]?.undo !== 'none' && plans[0]?.paired === false
  let builder = defineSaga('s', {
    version: 1,
    input: Empty,
    ...(deadlineMs === null ? {} : { deadlineMs }),
  }) as Builder
  for (const [index, each] of plans.entries()) {
    const name = `s${index}`
    builder = each.paired
      ? builder.parallel((group) =>
          group.step(name, optionsOf(name, each)).step(`${name}b`, optionsOf(`${name}b`, each)),
        )
      : builder.step(name, optionsOf(name, each))
  }
  if (wait) builder = builder.wait('w', { for: { type: 'event', data: Empty }, withinMs: 700 })
  if (pivot) {
    builder = builder.step('p', { do: ask('p'), with: () => ({}), attemptMs: 300 }).pivot()
    if (after)
      builder = builder.step('z', {
        do: sure('z'),
        with: () => ({}),
        onExhausted: 'continue',
        ...(cancellable ? { thenCancelAfterMs: 900, undo: undo('z'), undoWith: () => ({}) } : {}),
        attemptMs: 300,
      })
  }
  return builder.end(cancellable ? { cancelDecidedBy: 's0' as never } : {})
}

/** An input as a gesture; which step it means is found in the state, so that many of them fit. */
type Gesture =
  | {
      readonly kind: 'answer'
      readonly pick: number
      readonly say: 'done' | 'refused' | 'garbage'
      readonly named: boolean
    }
  | {
      readonly kind: 'stray'
      readonly type: string
      readonly payload: unknown
      readonly causationId: string | undefined
    }
  | { readonly kind: 'time'; readonly ms: number }
  | { readonly kind: 'cancel' | 'fault' | 'event' }
  | { readonly kind: 'act'; readonly action: 'retry' | 'skip' | 'giveUp' | 'resolve' }

const answer = fc.record({
  kind: fc.constant('answer' as const),
  pick: fc.nat(9),
  say: fc.constantFrom('done', 'done', 'done', 'refused', 'garbage'),
  named: fc.boolean(),
}) as fc.Arbitrary<Gesture>

const gesture: fc.Arbitrary<Gesture> = fc.oneof(
  { weight: 10, arbitrary: answer },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('time' as const), ms: fc.constantFrom(0, 100, 300, 1000) }) },
  {
    weight: 2,
    arbitrary: fc.constantFrom({ kind: 'cancel' as const }, { kind: 'fault' as const }, { kind: 'event' as const }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('act' as const),
      action: fc.constantFrom('retry', 'skip', 'giveUp', 'resolve'),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('stray' as const),
      type: fc.constantFrom('s0.done', 's1.refused', 'event', 'zz', ''),
      payload: fc.jsonValue(),
      causationId: fc.option(fc.constantFrom('S:s0:do', 'S:s1:undo', 'T:s0:do', ''), { nil: undefined }),
    }),
  },
)

function inputOf(definition: SagaDefinition, state: SagaState, made: Gesture): Input {
  switch (made.kind) {
    case 'time':
    case 'cancel':
      return made.kind === 'time' ? { type: 'time' } : { type: 'cancel', by: 'c', reason: 'r' }
    case 'fault':
      return { type: 'fault', reason: 'disk' }
    case 'event':
      return { type: 'reply', reply: { type: 'event', payload: {} } }
    case 'stray':
      return { type: 'reply', reply: { type: made.type, payload: made.payload, causationId: made.causationId } }
    case 'act':
      return {
        type: 'act',
        action: made.action === 'resolve' ? { kind: 'resolve', reply: {} } : { kind: made.action },
        by: 'ann',
        reason: 'x',
      }
    case 'answer': {
      const steps = definition.steps.filter((step) => step.do !== null && stepOf(state, step.name).phase !== 'todo')
      const step = steps[made.pick % Math.max(steps.length, 1)]
      if (step === undefined) return { type: 'time' }
      const { phase, querying } = stepOf(state, step.name)
      const direction: Direction =
        phase === 'undoing' || phase === 'stuck' ? 'undo' : querying === true ? 'query' : 'do'
      const contract = (direction === 'undo' ? step.undo : direction === 'query' ? step.query : step.do) ?? step.do
      const type = made.say === 'refused' ? (contract?.rejected?.type ?? '') : (contract?.done.type ?? '')
      const payload = made.say === 'garbage' ? 7 : made.say === 'refused' ? { error: 'no' } : {}
      const causationId = made.named ? commandId(state, step.name, direction) : undefined
      return { type: 'reply', reply: { type, payload, causationId } }
    }
  }
}

interface Moment {
  readonly before: SagaState
  readonly input: Input
  readonly events: readonly Event[]
  readonly after: SagaState
  readonly now: number
}

/** Runs gestures against a definition, everything frozen, and shows each moment. */
function live(
  definition: SagaDefinition,
  gestures: readonly Gesture[],
  seed: number,
  look: (moment: Moment) => void,
): readonly Event[] {
  let now = 0
  const history = [...decide(definition, null, freeze({ type: 'start', id: 'S', input: {}, seed } as const), now)]
  let state = freeze(replay(history) as SagaState)
  for (const made of gestures) {
    if (made.kind === 'time') now = Math.max(now + made.ms, 0)
    const input = freeze(inputOf(definition, state, made))
    const events = decide(definition, state, input, now)
    const after = freeze(events.reduce<SagaState | null>(evolve, state) as SagaState)
    look({ before: state, input, events, after, now })
    history.push(...events)
    state = after
  }
  return history
}

/** Checks a fact over generated sagas, inputs and seeds. */
const always = (numRuns: number, fact: (saga: SagaDefinition, gestures: readonly Gesture[], seed: number) => void) =>
  fc.assert(
    fc.property(recipe, fc.array(gesture, { maxLength: 40, size: 'max' }), fc.integer(), (made, gestures, seed) =>
      fact(sagaOf(made), gestures, seed),
    ),
    { numRuns },
  )

describe('whatever is declared and whatever comes', () => {
  test('the history folds to the state, both are plain JSON, and nothing is changed in place', () =>
    always(1500, (saga, gestures, seed) => {
      let last: SagaState | null = null
      const history = live(saga, gestures, seed, ({ after }) => (last = after))
      expect(JSON.parse(JSON.stringify(history))).toEqual(history)
      if (last !== null) expect(replay(history)).toEqual(last)
      if (last !== null) expect(JSON.parse(JSON.stringify(last))).toEqual(last)
    }))

  test('a saga has ended, is parked, or has a next cause', () =>
    always(1500, (saga, gestures, seed) => {
      live(saga, gestures, seed, ({ after }) => {
        const { commands, wakeAt } = pending(saga, after)
        if (!isSettled(after.status)) expect(commands.length > 0 || wakeAt !== null).toBe(true)
        if (after.status === 'PARKED') expect([commands, wakeAt]).toEqual([[], null])
        // Parked, it knows why and where it goes on: else no action of an operator would lead out.
        expect(after.parked !== null).toBe(after.status === 'PARKED')
        if (after.parked !== null) expect(['STARTED', 'COMPENSATING', 'CANCELLING']).toContain(after.parked.from)
      })
    }))

  test('the same answer again changes nothing', () =>
    always(1500, (saga, gestures, seed) => {
      live(saga, gestures, seed, ({ input, after, now }) => {
        if (input.type !== 'reply' || input.reply.causationId === undefined) return
        const again = decide(saga, after, input, now)
        // A retry after a refusal has a new id, so even that is not an answer to it.
        expect(again.every((event) => event.type === 'ReplyIgnored')).toBe(true)
        expect(again.reduce<SagaState | null>(evolve, after)).toEqual(after)
      })
    }))

  test('an answer that was taken once is never taken again, however late its repeat', () =>
    always(700, (saga, gestures, seed) => {
      const taken: Input[] = []
      live(saga, gestures, seed, ({ before, input, events, after, now }) => {
        const named = input.type === 'reply' && input.reply.causationId !== undefined
        // The one query of a step keeps its id: asked again, it may well say the same again.
        const query = named && (input.reply.causationId?.endsWith(':query') ?? false)
        if (named && !query && events[0]?.type !== 'ReplyIgnored' && before !== after) taken.push(input)
        for (const old of taken) {
          const again = decide(saga, after, old, now)
          expect(again.map((event) => event.type)).toEqual(['ReplyIgnored'])
        }
      })
    }))

  test('an ended saga is moved only by evidence of an effect, or by a cancel after completion', () =>
    always(1500, (saga, gestures, seed) => {
      live(saga, gestures, seed, ({ before, events }) => {
        if (!hasEnded(before.status)) return
        const [first] = events
        if (first === undefined || first.type === 'ReplyIgnored' || first.type === 'RequestRefused') return
        const leftOut =
          first.type === 'StepDone' && before.status === 'COMPLETED' && stepOf(before, first.step).phase === 'skipped'
        const cancel = before.status === 'COMPLETED' && first.type.startsWith('Cancel')
        const evidence = first.type === 'EffectFound' || first.type === 'EffectRepeated'
        expect(evidence || leftOut || cancel, first.type).toBe(true)
      })
    }))

  test('the same cancel or start again changes nothing', () =>
    always(500, (saga, gestures, seed) => {
      live(saga, gestures, seed, ({ after, now }) => {
        const cancel: Input = { type: 'cancel', by: 'c', reason: 'r' }
        const once = decide(saga, after, cancel, now).reduce<SagaState | null>(evolve, after)
        expect(decide(saga, once, cancel, now).reduce<SagaState | null>(evolve, once)).toEqual(once)
        expect(decide(saga, after, { type: 'start', id: 'S', input: {}, seed }, now)).toEqual([])
      })
    }))

  test('undo goes newest first, over what may have taken effect, and over nothing else', () =>
    always(1500, (saga, gestures, seed) => {
      live(saga, gestures, seed, ({ before, events }) => {
        let state = before
        for (const event of events) {
          if (event.type === 'UndoAsked') expectRightUndo(saga, state, event.step)
          state = evolve(state, event) as SagaState
        }
      })
    }))

  test('what ended undone has nothing left to undo', () =>
    always(1500, (saga, gestures, seed) => {
      live(saga, gestures, seed, ({ after }) => {
        if (!hasEnded(after.status) || after.status === 'COMPLETED' || after.leftBehind.length > 0) return
        const open = saga.steps.filter(
          (step) =>
            step.undo !== null &&
            ['done', 'unknown', 'asked', 'undoing', 'stuck'].includes(stepOf(after, step.name).phase),
        )
        expect(open.map((step) => step.name)).toEqual([])
      })
    }))

  test('between a cancel and the pivot exactly one wins', () =>
    always(1500, (saga, gestures, seed) => {
      let pivotDone = false
      live(saga, gestures, seed, ({ events, after }) => {
        pivotDone ||= events.some((event) => event.type === 'StepDone' && event.step === 'p')
        const undoing = events.some((event) => event.type === 'UndoAsked' || event.type === 'EffectFound')
        if (pivotDone && undoing) expect(after.cancel?.after).toBe(true)
      })
    }))

  test('ids are derived: saga, step, direction and round, and an undo names the command that it undoes', () =>
    always(300, (saga, gestures, seed) => {
      live(saga, gestures, seed, ({ after }) => {
        for (const { id, step, direction, undoes } of pending(saga, after).commands) {
          const { round = 1, undoRound = 1 } = stepOf(after, step)
          const count = direction === 'do' ? round : direction === 'undo' ? undoRound : 1
          expect(id).toBe(`S:${step}:${direction}${count === 1 ? '' : String(count)}`)
          expect(undoes).toBe(direction === 'undo' ? `S:${step}:do${round === 1 ? '' : String(round)}` : null)
        }
      })
    }))
})

function expectRightUndo(saga: SagaDefinition, state: SagaState, name: string): void {
  const step = saga.byName.get(name)
  const { phase, exhausted } = stepOf(state, name)
  expect(['done', 'unknown', 'asked', 'undoing', 'stuck', ...(exhausted === true ? ['skipped'] : [])]).toContain(phase)
  if (phase === 'undoing' || (state.cancel?.after === true && name === saga.cancelDecidedBy)) return
  const newer = saga.steps.filter((other) => other.index > (step?.index ?? 0) && other.undo !== null)
  // A stuck undo that an operator has retried goes on although a newer effect was found since; that is undone next.
  if (phase !== 'stuck')
    expect(newer.filter((other) => ['done', 'unknown', 'asked'].includes(stepOf(state, other.name).phase))).toEqual([])
}
