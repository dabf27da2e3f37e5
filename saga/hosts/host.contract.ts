/** One suite for every host: the same saga, the same answers, the same history, whatever runs it. */
import { afterEach, describe, expect, test, vi } from 'vitest'
import type { SagaDefinition } from '../core/definition.ts'
import type { Event } from '../core/events.ts'
import type { Command } from '../core/pending.ts'
import type { SagaStatus } from '../core/state.ts'
import type { Host } from './host.ts'
import { briefMs, doubtful, order, risky, slow, trip, unhurried } from './host-sagas.testkit.ts'

/** What a participant says to a command; null for no answer. */
export type Says = (command: Command) => { readonly type: string; readonly payload: unknown } | null

/** A host with participants that say as told, and a clock that is moved by hand, or goes by itself. */
export interface HostUnderTest {
  readonly host: Host
  /** Lets at least that many milliseconds pass for the host: where its clock goes by itself, they are waited for. */
  pass(ms: number): Promise<void>
  /** Takes an answer to the host that a participant gives later by itself. */
  answer(command: Pick<Command, 'id' | 'sagaId'>, type: string, payload: unknown): Promise<void>
  close(): Promise<void>
}

export type OpenHost = (definitions: readonly SagaDefinition[], says: Says) => Promise<HostUnderTest>

/** An event in one or two words: what a person would read aloud. */
function said(event: Event): string {
  const of = 'step' in event && event.step !== '' ? ` ${event.step}` : ''
  const more =
    event.type === 'StepAsked' || event.type === 'UndoAsked'
      ? `${event.attempt > 1 ? ` again` : ''}${event.type === 'UndoAsked' && event.blind ? ' blind' : ''}`
      : event.type === 'CancelRequested'
        ? ` takes ${event.takes}`
        : ''
  return `${event.type}${of}${more}`
}

/**
 * Each test waits for what it starts: a server whose time can be skipped skips no more of it, for whoever comes next, where
 * a saga is ended by force while one of its activities runs.
 *
 * @param days false where days could only pass by waiting for them: what needs them is skipped by its name
 */
export function hostContract(name: string, open: OpenHost, { days = true } = {}): void {
  const opened: HostUnderTest[] = []
  afterEach(async () => {
    for (const each of opened.splice(0)) await each.close()
  })

  /** A saga on a host whose participants say what is told for a command's type, else that it is done. */
  async function run(
    definition: SagaDefinition<{ item: string }>,
    told: Record<string, 'done' | 'refused' | 'nothing'> = {},
  ) {
    const heard: Command[] = []
    const says: Says = (command) => {
      heard.push(command)
      const answer = told[command.type] ?? 'done'
      if (answer === 'nothing') return null
      return {
        type: `${command.type}.${answer}`,
        payload: answer === 'done' ? { ref: `${command.type}-1` } : { error: 'no' },
      }
    }
    const under = await open([order, doubtful, unhurried, trip, risky, slow], says)
    opened.push(under)
    const { state } = await under.host.start(definition, { item: 'milk' })
    const { id } = state
    const status = async (): Promise<SagaStatus | undefined> => (await under.host.state(id))?.status
    const history = async () => (await under.host.history(id)).flatMap(({ events }) => events).map(said)
    return {
      ...under,
      id,
      told,
      heard,
      /** Types of the commands that came, in order. */
      asked: () => heard.map(({ type }) => type),
      ids: (type: string) => heard.filter((command) => command.type === type).map((command) => command.id),
      until: (wanted: SagaStatus) => vi.waitFor(async () => expect(await status()).toBe(wanted), patience),
      hears: (type: string, times = 1) =>
        vi.waitFor(
          () => expect(heard.filter((command) => command.type === type).length).toBeGreaterThanOrEqual(times),
          patience,
        ),
      history,
      /** Until its history has that. */
      moves: (event: string) => vi.waitFor(async () => expect(await history()).toContain(event), patience),
      event: (type: string, messageId: string, payload: unknown = {}) =>
        under.host.deliver({ sagaId: id, id: messageId, type, payload }),
    }
  }

  const patience = { timeout: 30_000, interval: 10 }

  describe(`${name}: a host of sagas`, () => {
    test('runs the steps in order to the end, each command once', async () => {
      const saga = await run(order)
      expect(await saga.host.result(saga.id, { definition: order })).toMatchObject({
        status: 'COMPLETED',
        replies: { stock: { ref: 'reserve-1' }, money: { ref: 'charge-1' } },
      })
      expect(saga.heard).toMatchObject([
        { type: 'reserve', id: `${saga.id}:stock:do`, payload: { item: 'milk' } },
        { type: 'charge', payload: { for: 'reserve-1' } },
        { type: 'confirm' },
        { type: 'tell' },
      ])
      expect(await saga.history()).toEqual([
        'SagaStarted',
        'StepAsked stock',
        'StepDone stock',
        'StageEntered',
        'StepAsked money',
        'StepDone money',
        'StageEntered',
        'StepAsked confirm',
        'StepDone confirm',
        'StageEntered',
        'StepAsked tell',
        'StepDone tell',
        'StageEntered',
        'SagaCompleted',
      ])
    })

    test('undoes what was done, newest first, when a step is refused', async () => {
      const saga = await run(order, { confirm: 'refused' })
      expect(await saga.host.result(saga.id)).toMatchObject({
        status: 'COMPENSATED',
        error: { step: 'confirm', reason: 'no' },
      })
      expect(saga.asked()).toEqual(['reserve', 'charge', 'confirm', 'refund', 'release'])
      expect(saga.heard.at(-1)).toMatchObject({
        undoes: `${saga.id}:stock:do`,
        payload: { ref: 'reserve-1', reason: 'no' },
      })
      expect((await saga.history()).slice(-7)).toEqual([
        'StepRejected confirm',
        'CompensationStarted confirm',
        'UndoAsked money',
        'UndoDone money',
        'UndoAsked stock',
        'UndoDone stock',
        'SagaCompensated',
      ])
    })

    test('repeats what is not answered under the same id, then undoes it blind, since nobody knows', async () => {
      const saga = await run(doubtful, { charge: 'nothing' })
      await saga.hears('charge')
      await saga.pass(briefMs)
      await saga.pass(100)
      await saga.hears('charge', 2)
      await saga.pass(briefMs)
      await saga.until('COMPENSATED')
      expect(new Set(saga.ids('charge')).size).toBe(1)
      expect((await saga.history()).slice(4)).toEqual([
        'StepAsked money',
        'StepUnknown money',
        'StepAsked money again',
        'StepUnknown money',
        'CompensationStarted money',
        'UndoAsked money blind',
        'UndoDone money',
        'UndoAsked stock',
        'UndoDone stock',
        'SagaCompensated',
      ])
    })

    test('takes an answer that comes after its time and before the repeat', async () => {
      const saga = await run(unhurried, { charge: 'nothing' })
      await saga.hears('charge')
      await saga.pass(briefMs)
      await saga.moves('StepUnknown money')
      await saga.answer({ id: `${saga.id}:money:do`, sagaId: saga.id }, 'charge.done', { ref: 'late' })
      expect((await saga.host.result(saga.id)).status).toBe('COMPLETED')
      expect(saga.ids('charge')).toHaveLength(1)
    })

    test('parks what nobody can settle, and goes on as an operator decides', async () => {
      const saga = await run(risky, { charge: 'nothing' })
      await saga.hears('charge')
      await saga.pass(briefMs)
      await saga.pass(100)
      await saga.hears('charge', 2)
      await saga.pass(briefMs)
      await saga.until('PARKED')
      expect(
        await saga.host.act(saga.id, { kind: 'resolve', reply: { ref: 'c-9' } }, 'ann', 'asked the bank'),
      ).toMatchObject({ accepted: true })
      expect(await saga.host.result(saga.id, { definition: risky })).toMatchObject({
        status: 'COMPLETED',
        replies: { charge: { ref: 'c-9' } },
      })
      expect(await saga.history()).toEqual([
        'SagaStarted',
        'StepAsked charge',
        'StepUnknown charge',
        'StepAsked charge again',
        'StepUnknown charge',
        'SagaParked charge',
        'SagaResumed',
        'StepDone charge',
        'StageEntered',
        'SagaCompleted',
      ])
      expect(await saga.host.act(saga.id, { kind: 'retry' }, 'ann', 'again')).toMatchObject({
        accepted: false,
        reason: 'it is not parked but COMPLETED',
      })
    })

    test('cancels before the pivot: what is in flight is settled, then undone', async () => {
      const saga = await run(order, { charge: 'nothing' })
      await saga.hears('charge')
      expect(await saga.host.cancel(saga.id, 'customer', 'changed my mind')).toMatchObject({ accepted: true })
      await saga.answer({ id: `${saga.id}:money:do`, sagaId: saga.id }, 'charge.done', {})
      await saga.until('CANCELLED')
      expect(saga.asked()).toEqual(['reserve', 'charge', 'refund', 'release'])
      expect((await saga.history()).slice(5)).toEqual([
        'CancelRequested takes now',
        'CancelStarted',
        'StepDone money',
        'UndoAsked money',
        'UndoDone money',
        'UndoAsked stock',
        'UndoDone stock',
        'SagaCancelled',
      ])
    })

    test('lets the pivot decide a cancel that races with it', async () => {
      const saga = await run(order, { confirm: 'nothing' })
      await saga.hears('confirm')
      await saga.host.cancel(saga.id, 'customer', 'changed my mind')
      await saga.answer({ id: `${saga.id}:confirm:do`, sagaId: saga.id }, 'confirm.refused', { error: 'no' })
      await saga.until('CANCELLED')
      expect((await saga.history()).slice(7)).toEqual([
        'StepAsked confirm',
        'CancelRequested takes pivot',
        'StepRejected confirm',
        'CancelStarted',
        'UndoAsked money',
        'UndoDone money',
        'UndoAsked stock',
        'UndoDone stock',
        'SagaCancelled',
      ])
    })

    test('cancels after completion where the deciding step allows it', async () => {
      const saga = await run(order, { release: 'refused' })
      await saga.until('COMPLETED')
      await saga.host.cancel(saga.id, 'customer', 'changed my mind')
      await saga.moves('CancelRefused')
      await saga.until('COMPLETED')
      saga.told['release'] = 'done'
      expect(await saga.event('expired', 'e1')).toEqual({ outcome: 'taken', reason: null })
      await saga.until('CANCELLED')
      expect(saga.ids('release')).toEqual([`${saga.id}:stock:undo`, `${saga.id}:stock:undo2`])
    })

    test.skipIf(!days)('undoes itself when an event has not come within a day', async () => {
      const saga = await run(trip)
      await saga.moves('StepAsked arrival')
      await saga.pass(86_400_000)
      await saga.until('COMPENSATED')
      expect((await saga.host.state(saga.id))?.error).toEqual({
        step: 'arrival',
        reason: 'arrived did not come in time',
      })
      expect((await saga.history()).slice(-8)).toEqual([
        'StepAsked arrival',
        'StepRejected arrival',
        'CompensationStarted arrival',
        'UndoAsked room',
        'UndoDone room',
        'UndoAsked flight',
        'UndoDone flight',
        'SagaCompensated',
      ])
    })

    test('cancels itself when its own deadline passes before its pivot', async () => {
      const saga = await run(slow, { charge: 'nothing' })
      await saga.hears('charge')
      await saga.pass(2000)
      await saga.moves('CancelStarted')
      await saga.answer({ id: `${saga.id}:charge:do`, sagaId: saga.id }, 'charge.done', {})
      await saga.until('CANCELLED')
      expect(await saga.history()).toEqual([
        'SagaStarted',
        'StepAsked charge',
        'CancelRequested takes now',
        'CancelStarted',
        'StepDone charge',
        'UndoAsked charge',
        'UndoDone charge',
        'SagaCancelled',
      ])
    })

    test('runs a group side by side, keeps an event until its wait, and sends what nobody answers', async () => {
      const saga = await run(trip, { fly: 'nothing' })
      await saga.hears('book')
      expect(await saga.event('arrived', 'e1', { by: 'ann' })).toEqual({ outcome: 'kept', reason: null })
      expect(await saga.event('arrived', 'e1', { by: 'ann' })).toMatchObject({ outcome: 'repeated' })
      await saga.answer({ id: `${saga.id}:flight:do`, sagaId: saga.id }, 'fly.done', {})
      expect((await saga.host.result(saga.id, { definition: trip })).replies.arrival).toEqual({ by: 'ann' })
      await saga.hears('mail')
      expect(saga.heard.at(-1)).toMatchObject({ type: 'mail', payload: { to: 'ann' }, unanswered: true })
      expect(await saga.event('arrived', 'e2', { by: 'bob' })).toEqual({
        outcome: 'refused',
        reason: 'the saga has ended COMPLETED',
      })
    })

    test('gives the same saga for the same key and input, and refuses another input under it', async () => {
      const { host, id } = await run(order)
      const key = `key of ${id}` // some hosts keep what earlier runs have started
      const first = await host.start(order, { item: 'tea' }, { key })
      const again = await host.start(order, { item: 'tea' }, { key })
      expect([first.fresh, again.fresh, again.state.id]).toEqual([true, false, first.state.id])
      await expect(host.start(order, { item: 'gin' }, { key })).rejects.toMatchObject({ code: 'key_reused' })
      for (const started of [id, first.state.id]) await host.result(started)
    })

    test('refuses what does not fit, with what to do', async () => {
      const { host, id } = await run(order)
      await expect(host.start(order, { item: 7 } as never)).rejects.toMatchObject({ code: 'invalid_input' })
      await expect(host.cancel('nobody', 'ann', 'x')).rejects.toMatchObject({ code: 'not_found' })
      await expect(host.act(id, { kind: 'rettry' } as never, 'ann', 'x')).rejects.toMatchObject({
        code: 'invalid_input',
      })
      expect(await host.state('nobody')).toBeNull()
      expect(await host.deliver({ sagaId: 'nobody', id: 'm', type: 'arrived', payload: {} })).toMatchObject({
        outcome: 'refused',
      })
      await host.result(id)
    })
  })
}
