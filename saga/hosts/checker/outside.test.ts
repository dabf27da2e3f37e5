/** Events from outside, what follows them, commands that nobody answers, participants of others: walked, with bugs planted. */
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { participantContract } from '../../declare/contract.ts'
import type { Input } from '../../core/decide.ts'
import { decide } from '../../core/decide.ts'
import { defineSaga } from '../../declare/define.ts'
import type { SagaDefinition } from '../../core/definition.ts'
import type { Event } from '../../core/events.ts'
import { evolve } from '../../core/evolve.ts'
import { pending } from '../../core/pending.ts'
import type { RetryPolicy } from '../../core/retry.ts'
import { forever } from '../../core/retry.ts'
import type { SagaState } from '../../core/state.ts'
import type { CheckOptions } from './check.ts'
import { check } from './check.ts'
import type { Rules } from './rules.ts'

const Empty = z.looseObject({})
const shop = participantContract('shop', { tombstones: true })
const retry: Partial<RetryPolicy> = { tries: 2 }

const begin = () => defineSaga('s', { version: 1, input: Empty })

const ask = (name: string) =>
  shop.command(`do_${name}`, {
    payload: Empty,
    done: [`${name}.done`, z.object({ id: z.string().min(3) })],
    rejected: [`${name}.refused`, z.object({ error: z.string() })],
  })

const undo = (name: string) =>
  shop.command(`undo_${name}`, { payload: Empty, done: [`${name}.undone`, Empty], safeOnNothing: true })

const both = (name: string) => ({ do: ask(name), with: () => ({}), undo: undo(name), undoWith: () => ({}), retry })
const notice = (name: string, safeOnNothing = false) => shop.notice(name, { payload: Empty, safeOnNothing })
const accepted = { type: 'accepted', data: z.object({ by: z.string() }) }
const wait = { for: accepted, withinMs: 1000 }

const twoWaits = begin().step('a', both('a')).wait('w', wait).wait('v', wait).end()

const kept = begin()
  .step('a', { ...both('a'), undo: notice('forget_a', true) })
  .step('b', { do: ask('b'), with: () => ({}), retry })
  .pivot()
  .step('tell', { do: notice('tell'), with: () => ({}), retry: forever })
  .end()

const decided = () =>
  begin()
    .step('a', {
      ...both('a'),
      undo: shop.command('undo_a', {
        payload: Empty,
        done: ['a.undone', Empty],
        rejected: ['a.kept', z.object({ error: z.string() })],
        safeOnNothing: true,
      }),
    })
    .step('b', { do: ask('b'), with: () => ({}), retry })
    .pivot()
    .step('c', { ...both('c'), onRejected: 'retry', onExhausted: 'continue', thenCancelAfterMs: 1000 })

const gone = { type: 'gone', data: Empty }
const free = { type: 'free', data: Empty }
const followed = decided().end({
  cancelDecidedBy: 'a',
  follows: [
    { event: gone, reaction: 'cancel', by: 'x', reason: 'y' },
    { event: free, reaction: 'ask', step: 'c', withinMs: 500, by: 'x', reason: 'y' },
  ],
})

const inPart = (rejectedInPart: boolean) =>
  begin()
    .step('a', { ...both('a'), do: { ...ask('a'), rejectedInPart }, undo: notice('forget_a', true), onUnknown: 'undo' })
    .step('b', both('b'))
    .end()

/** The pivot is asked again and again, and what a refusal leaves of it is undone. */
const pivotInPart = (rejectedInPart: boolean) =>
  begin()
    .step('a', both('a'))
    .step('b', { ...both('b'), do: { ...ask('b'), rejectedInPart } })
    .pivot()
    .end()

const foreign = begin().step('a', both('a')).step('b', both('b')).end()

const sagas: Readonly<Record<string, readonly [SagaDefinition, CheckOptions?]>> = {
  'a wait that may be left out': [
    begin()
      .step('a', both('a'))
      .wait('w', { ...wait, onExhausted: 'continue' })
      .end(),
  ],
  'two waits for the same': [twoWaits],
  'a wait beside a command': [
    begin()
      .step('a', both('a'))
      .parallel((steps) => steps.step('b', both('b')).wait('w', wait))
      .end(),
  ],
  'commands that nobody answers': [kept],
  'what follows events': [followed],
  'an event that has a step asked again, whenever it comes': [
    decided().end({
      cancelDecidedBy: 'a',
      follows: [{ event: free, reaction: 'ask', step: 'c', by: 'x', reason: 'y' }],
    }),
  ],
  'two events that nothing waits for': [followed, { surplusEvents: 2, operator: false, hostFails: false }],
  'a command after the pivot that may be refused, and without which it does not go on': [
    begin()
      .step('b', { do: ask('b'), with: () => ({}), retry })
      .pivot()
      .step('c', { do: ask('c'), with: () => ({}), retry, onRejected: 'retry' })
      .end(),
  ],
  'participants of others': [foreign, { foreign: ['shop'] }],
  'participants of others that answer no undo': [foreign, { foreign: ['shop'], silentUndos: ['shop'] }],
  'a participant of others that refuses in part': [inPart(true), { foreign: ['shop'], silentUndos: ['shop'] }],
  'one of ours, taken for one that refuses in part': [inPart(true)],
  'a pivot of ours that refuses in part': [pivotInPart(true)],
  'participants of others, and a cancel after completion': [followed, { foreign: ['shop'], operator: false }],
  'a time for all tries, and one for the saga': [
    defineSaga('s', { version: 1, input: Empty, deadlineMs: 5000 })
      .step('a', { ...both('a'), stepMs: 3000 })
      .step('b', both('b'))
      .end(),
  ],
  'tries without end': [
    begin()
      .step('a', { ...both('a'), undoRetry: forever })
      .step('b', { do: ask('b'), with: () => ({}), retry: forever })
      .pivot()
      .step('c', { do: ask('c'), with: () => ({}), onRejected: 'retry', retry: forever })
      .end(),
  ],
}

test.each(Object.entries(sagas))('%s: every state keeps the promises', (_name, [saga, options]) => {
  const { fault, statuses } = check(saga, options)
  expect(fault).toBeNull()
  expect(statuses).toHaveProperty('COMPLETED')
})

type Decide = (state: SagaState, input: Input, events: readonly Event[]) => readonly Event[]

/** What `decide` gives, changed once the saga has started. */
const changed = (change: Decide): Pick<Rules, 'decide'> => ({
  decide(definition, state, input, now) {
    const events = decide(definition, state, input, now)
    return state === null ? events : change(state, input, events)
  },
})

const without =
  (type: Event['type'], when: (state: SagaState) => boolean = () => true): Decide =>
  (state, _input, events) =>
    when(state) ? events.filter((event) => event.type !== type) : events

interface Planted {
  readonly saga: SagaDefinition
  readonly rules: Partial<Rules>
  readonly fault: RegExp
  readonly options?: CheckOptions
}

const planted: Readonly<Record<string, Planted>> = {
  'an event that comes early is dropped': {
    saga: twoWaits,
    rules: changed(without('EventKept')),
    fault: /^w waits for accepted, which has come/,
  },
  'one event fills two waits': {
    saga: twoWaits,
    rules: {
      evolve: (state, event) =>
        evolve(
          state,
          event.type === 'StepDone' && event.event !== undefined
            ? { ...event, event: { ...event.event, id: null } }
            : event,
        ),
    },
    fault: /^2 waits took accepted, which came 1 times/,
  },
  'a late success of one who names no command is ignored': {
    saga: foreign,
    rules: changed((_state, _input, events) => (events.some(({ type }) => type === 'EffectFound') ? [] : events)),
    options: { foreign: ['shop'] },
    fault: /^it is (COMPENSATED|CANCELLED|FAILED), but a is still in effect/,
  },
  'what was refused in part counts as without effect': {
    saga: inPart(true),
    rules: { decide: (_definition, ...turn) => decide(inPart(false), ...turn) },
    options: { foreign: ['shop'] },
    fault: /^it is (COMPENSATED|CANCELLED|FAILED), but a is still in effect/,
  },
  'a step without an undo is taken as safe': {
    saga: kept,
    rules: changed((state, input, events) => {
      const parked = events.find((event) => event.type === 'SagaParked')
      if (input.type === 'fault' || parked?.type !== 'SagaParked' || parked.step !== 'b') return events
      const turned: Event = { type: 'CompensationStarted', step: 'b', reason: 'no answer' }
      const before = [...events.filter((event) => event !== parked), turned]
      const after = before.reduce<SagaState | null>(evolve, state)
      return [...before, ...decide(kept, after, { type: 'time' }, -2)]
    }),
    fault: /^it is (COMPENSATED|CANCELLED), but b is still in effect/,
  },
  'a command that nobody answers is taken as sent when its time is up': {
    saga: kept,
    rules: {
      decide: (definition, state, input, now) =>
        decide(
          definition,
          state,
          input.type === 'time' && state !== null && pending(definition, state).commands.some((each) => each.unanswered)
            ? { type: 'sent', commandId: pending(definition, state).commands[0]?.id ?? '' }
            : input,
          now,
        ),
    },
    fault: /^it is (COMPENSATED|CANCELLED|COMPLETED), but (a|tell) (is still in effect|has no effect)/,
  },
  'a command that nobody answers is not repeated': {
    saga: kept,
    rules: {
      pending(definition, state) {
        const { commands, wakeAt } = pending(definition, state)
        return { wakeAt, commands: commands.filter((each) => !each.unanswered || each.attempt === 1) }
      },
    },
    fault: /^(a is undoing|tell is asked), but its command is not sent/,
  },
  'an undo is given up at the first try': {
    saga: kept,
    rules: changed((_state, _input, events) =>
      events.flatMap((event): readonly Event[] =>
        event.type === 'UndoFailed'
          ? [
              { ...event, retryAt: null },
              { type: 'SagaParked', step: event.step, reason: 'x' },
            ]
          : [event],
      ),
    ),
    fault: /^the undo of a was given up after 1 of 2 tries/,
  },
  'what follows an event is lost while a cancel is decided': {
    saga: followed,
    rules: changed(without('EventKept', ({ status }) => status === 'CANCELLING')),
    fault: /^it is COMPLETED, and what follows free is lost/,
  },
  'what was done before it was asked again is forgotten': {
    saga: followed,
    rules: changed((_state, _input, events) =>
      events.map((event) =>
        event.type === 'StepSkipped' && event.effect === 'possible' ? { ...event, effect: 'none' } : event,
      ),
    ),
    fault: /^it is CANCELLED, but c is still in effect/,
  },
}

describe('the walk finds that', () => {
  test.each(Object.entries(planted))('%s', (_bug, { saga, rules, fault, ...more }) => {
    const options = { hostFails: false, operator: false, ...more.options }
    expect(check(saga, { ...options, rules }).fault?.promise).toMatch(fault)
    expect(check(saga, options).fault).toBeNull()
  })
})
