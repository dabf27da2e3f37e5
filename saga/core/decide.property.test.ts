/** Facts that hold for every definition and every sequence of inputs, however absurd. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Input } from './decide.ts'
import { decide, replay } from './decide.ts'
import type { SagaBuilder, StepOptions } from './define.ts'
import { defineSaga } from './define.ts'
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
    ...(how === 'none' ? {} : { undo: undo(name, how === 'safe'), undoWith: () => ({}) }),
    ...(settled === 'query' ? { query: ask(`q${name}`), queryWith: () => ({}) } : {}),
    onUnknown: settled,
    onRejected: retry ? 'retry' : 'undo',
    retry: policy,
    attemptMs: 300,
    ...(stepMs === null ? {} : { stepMs }),
  }
}

type Builder = SagaBuilder<object, unknown>

const definition: fc.Arbitrary<SagaDefinition> = fc
  .record({
    plans: fc.array(plan, { minLength: 1, maxLength: 5, size: 'max' }),
    pivot: fc.boolean(),
    wait: fc.boolean(),
    after: fc.boolean(),
    late: fc.boolean(),
    deadlineMs: fc.option(fc.integer({ min: 0, max: 3000 })),
  })
  .map(({ plans, pivot, wait, after, late, deadlineMs }) => {
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
          ...(late && plans[0]?.undo !== 'none' && plans[0]?.paired === false ? { thenCancelAfterMs: 900 } : {}),
          attemptMs: 300,
        })
    }
    return builder.end(
      late && plans[0]?.undo !== 'none' && plans[0]?.paired === false ? { cancelDecidedBy: 's0' as never } : {},
    )
  })

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
    weight: 1,
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
      const steps = definition.steps.filter((step) => step.do !== null && state.steps[step.name] !== undefined)
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

const runs = { numRuns: 1500 }
const story = [definition, fc.array(gesture, { maxLength: 40, size: 'max' }), fc.integer()] as const

describe('whatever is declared and whatever comes', () => {
  test('the history folds to the state, both are plain JSON, and nothing is changed in place', () =>
    fc.assert(
      fc.property(...story, (saga, gestures, seed) => {
        let last: SagaState | null = null
        const history = live(saga, gestures, seed, ({ after }) => (last = after))
        expect(JSON.parse(JSON.stringify(history))).toEqual(history)
        if (last !== null) expect(replay(history)).toEqual(last)
        if (last !== null) expect(JSON.parse(JSON.stringify(last))).toEqual(last)
      }),
      runs,
    ))

  test('a saga has ended, is parked, or has a next cause', () =>
    fc.assert(
      fc.property(...story, (saga, gestures, seed) => {
        live(saga, gestures, seed, ({ after }) => {
          const { commands, wakeAt } = pending(saga, after)
          if (!isSettled(after.status)) expect(commands.length > 0 || wakeAt !== null).toBe(true)
          if (after.status === 'PARKED') expect([commands, wakeAt]).toEqual([[], null])
        })
      }),
      runs,
    ))

  test('the same answer again changes nothing', () =>
    fc.assert(
      fc.property(...story, (saga, gestures, seed) => {
        live(saga, gestures, seed, ({ input, after, now }) => {
          if (input.type !== 'reply' || input.reply.causationId === undefined) return
          const again = decide(saga, after, input, now)
          // A retry after a refusal has a new id, so even that is not an answer to it.
          expect(again.every((event) => event.type === 'ReplyIgnored')).toBe(true)
          expect(again.reduce<SagaState | null>(evolve, after)).toEqual(after)
        })
      }),
      runs,
    ))

  test('the same cancel, start or fault again changes nothing', () =>
    fc.assert(
      fc.property(...story, (saga, gestures, seed) => {
        live(saga, gestures, seed, ({ after, now }) => {
          const cancel: Input = { type: 'cancel', by: 'c', reason: 'r' }
          const once = decide(saga, after, cancel, now).reduce<SagaState | null>(evolve, after)
          expect(decide(saga, once, cancel, now).reduce<SagaState | null>(evolve, once)).toEqual(once)
          expect(decide(saga, after, { type: 'start', id: 'S', input: {}, seed }, now)).toEqual([])
        })
      }),
      { numRuns: 500 },
    ))

  test('undo goes newest first, over what may have taken effect, and over nothing else', () =>
    fc.assert(
      fc.property(...story, (saga, gestures, seed) => {
        live(saga, gestures, seed, ({ before, events }) => {
          let state = before
          for (const event of events) {
            if (event.type === 'UndoAsked') expectRightUndo(saga, state, event.step)
            state = evolve(state, event) as SagaState
          }
        })
      }),
      runs,
    ))

  test('what ended undone has nothing left to undo', () =>
    fc.assert(
      fc.property(...story, (saga, gestures, seed) => {
        live(saga, gestures, seed, ({ after }) => {
          if (!hasEnded(after.status) || after.status === 'COMPLETED' || after.leftBehind.length > 0) return
          const open = saga.steps.filter(
            (step) =>
              step.undo !== null &&
              ['done', 'unknown', 'asked', 'undoing', 'stuck'].includes(stepOf(after, step.name).phase),
          )
          expect(open.map((step) => step.name)).toEqual([])
        })
      }),
      runs,
    ))

  test('between a cancel and the pivot exactly one wins', () =>
    fc.assert(
      fc.property(...story, (saga, gestures, seed) => {
        if (saga.cancelDecidedBy !== null) return
        const history = live(saga, gestures, seed, () => undefined)
        const pivotDone = history.some((event) => event.type === 'StepDone' && event.step === 'p')
        const undone = history.some((event) => event.type === 'CancelStarted' || event.type === 'CompensationStarted')
        expect(pivotDone && undone).toBe(false)
      }),
      runs,
    ))
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
