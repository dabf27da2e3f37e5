/** What only a host on Temporal has: workers that die, Temporal's own lists and words, runs that continue as new. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Client } from '@temporalio/client'
import { Worker } from '@temporalio/worker'
import { afterAll, beforeAll, expect, test, vi, type TestContext } from 'vitest'
import { startChild, type Child } from '../../../tests/kit/child.ts'
import { suiteOn, temporalAddress } from '../../../tests/kit/parts.ts'
import { z } from 'zod'
import { participantContract } from '../../declare/contract.ts'
import { defineSaga } from '../../declare/define.ts'
import { memoryInbox } from '../../participant/memory-inbox.ts'
import { done, handle, participant } from '../../participant/participant.ts'
import { memoryTransport } from '../../transports/memory/memory-transport.ts'
import { order, patient, risky, slow, trip } from '../host-sagas.testkit.ts'
import type { Host } from '../host.ts'
import { sagaActivities } from './activities.ts'
import { takeAnswers } from './answers.ts'
import { attributes, memo, queries, requests, type Moves } from './protocol.ts'
import { temporalHost, type TemporalHostOptions } from './temporal-host.ts'
import { activitiesSaying, bundled, placeOn, startWorker, workflowTypeOf, type Place } from './temporal.testkit.ts'

const definitions = [order, trip, risky, slow, patient]
const milk = { item: 'milk' }
const program = fileURLToPath(import.meta.resolve('./worker-process.testkit.ts'))

const until = (check: () => void | Promise<void>): Promise<void> => vi.waitFor(check, { timeout: 45_000, interval: 50 })

const yes = ({ type }: { readonly type: string }) => ({ type: `${type}.done`, payload: { ref: `${type}-1` } })

suiteOn('Temporal', await temporalAddress(), 'sagas in workflows of a real Temporal server', (address) => {
  const folder = mkdtempSync(join(tmpdir(), 'ordersaga-workflows-'))
  /** For workers in processes of their own: to make it takes seconds. */
  const bundleFile = join(folder, 'workflows.js')
  beforeAll(async () => writeFileSync(bundleFile, (await bundled()).code))
  afterAll(() => rmSync(folder, { recursive: true }))

  /** Each test has a queue of its own, and they mostly wait: they go side by side. What one opens ends with it. */
  function opening({ onTestFinished }: TestContext) {
    return {
      async place(): Promise<Place> {
        const opened = await placeOn(address)
        onTestFinished(() => opened.close())
        return opened
      },
      hostOn({ client, taskQueue }: Place, options: Partial<TemporalHostOptions> = {}): Host {
        const host = temporalHost({
          client,
          taskQueue,
          definitions,
          workflowType: workflowTypeOf,
          answerMs: 50_000,
          ...options,
        })
        onTestFinished(() => host.stop())
        return host
      },
      async worked(at: Place, activities: object, options = {}): Promise<void> {
        const worker = await startWorker(at, activities, options)
        onTestFinished(() => worker.stop())
      },
      process(at: Place, silent: readonly string[], lines: string[]): Child {
        const child = startChild(
          program,
          [at.address, at.taskQueue, bundleFile, ...silent],
          {},
          (line) => void lines.push(line),
        )
        onTestFinished(() => child.kill())
        return child
      },
    }
  }

  test.concurrent(
    'a worker killed after an effect and before its answer: another goes on, and repeats under the same id',
    async (context) => {
      const { place, hostOn, process } = opening(context)
      const at = await place()
      const host = hostOn(at)
      const [first, second]: [string[], string[]] = [[], []]
      const killed = process(at, ['charge'], first)
      await vi.waitFor(() => expect(first, killed.tail()).toContain('ready'), { timeout: 120_000, interval: 100 })
      const { state } = await host.start(patient, milk)
      await until(() => expect(first).toContain(`did ${state.id}:charge:do`))
      await killed.kill()
      process(at, [], second)
      expect((await host.result(state.id)).status).toBe('COMPLETED')
      // Asked every five seconds: a slow worker is asked more often.
      expect([...new Set(second.filter((line) => line.startsWith('did')))]).toEqual([
        `did ${state.id}:charge:do`,
        `did ${state.id}:tell:do`,
      ])
      expect((await host.history(state.id)).flatMap(({ events }) => events).map(({ type }) => type)).toEqual(
        expect.arrayContaining(['StepUnknown', 'StepDone', 'SagaCompleted']),
      )
    },
    240_000,
  )

  test.concurrent('two workers share the sagas of a queue', async (context) => {
    const { place, hostOn, worked } = opening(context)
    const at = await place()
    const host = hostOn(at)
    const heard: string[] = []
    const workers = new Set<number>()
    let both = (): void => undefined
    const asked = new Promise<void>((resolve) => (both = resolve))
    const one = { maxConcurrentActivityTaskExecutions: 1 }
    for (const number of [1, 2])
      await worked(
        at,
        activitiesSaying(definitions, async (command) => {
          heard.push(command.id)
          workers.add(number)
          if (workers.size === 2) both()
          await asked
          return yes(command)
        }),
        one,
      )
    const sagas = await Promise.all(Array.from({ length: 10 }, () => host.start(patient, milk)))
    const ended = await Promise.all(sagas.map(({ state }) => host.result(state.id)))
    expect(new Set(ended.map(({ status }) => status))).toEqual(new Set(['COMPLETED']))
    expect([...new Set(heard)].toSorted()).toEqual(
      sagas.flatMap(({ state: { id } }) => [`${id}:charge:do`, `${id}:tell:do`]).toSorted(),
    )
    expect(workers.size).toBe(2)
  })

  test.concurrent(
    'an activity that fails after its effect is no failure of its step: it is repeated under the same id',
    async (context) => {
      const { place, hostOn, worked } = opening(context)
      const at = await place()
      const host = hostOn(at)
      const heard: string[] = []
      await worked(
        at,
        activitiesSaying(definitions, (command) => {
          heard.push(command.id)
          if (heard.length === 1) throw new Error('the answer is lost')
          return yes(command)
        }),
      )
      const { state } = await host.start(patient, milk)
      expect((await host.result(state.id)).status).toBe('COMPLETED')
      expect(heard.slice(0, 2)).toEqual([`${state.id}:charge:do`, `${state.id}:charge:do`])
      expect([...new Set(heard)]).toEqual([`${state.id}:charge:do`, `${state.id}:tell:do`])
    },
  )

  test.concurrent('an answer is heard that an activity gives after its attempt has ended', async (context) => {
    const { place, hostOn, worked } = opening(context)
    const at = await place()
    const host = hostOn(at)
    let release = (): void => undefined
    const late = new Promise<void>((resolve) => (release = resolve))
    let asked = 0
    await worked(
      at,
      activitiesSaying(definitions, async (command) => {
        if (command.type !== 'charge') return yes(command)
        asked += 1
        if (asked > 1) return null
        await late
        return yes(command)
      }),
    )
    const { state } = await host.start(patient, milk)
    const events = async () => (await host.history(state.id)).flatMap(({ events }) => events).map(({ type }) => type)
    await until(async () => expect(await events()).toContain('StepUnknown'))
    release()
    expect((await host.result(state.id)).status).toBe('COMPLETED')
  })

  test.concurrent('a long saga continues as new with its state, and its history goes on', async (context) => {
    const { place, hostOn, worked } = opening(context)
    const at = await place()
    const host = hostOn(at, { workflowType: () => 'shortRuns' })
    const heard: string[] = []
    await worked(
      at,
      activitiesSaying(definitions, (command) => {
        heard.push(command.id)
        return yes(command)
      }),
    )
    const { state } = await host.start(order, milk)
    await until(async () => expect((await host.state(state.id))?.status).toBe('COMPLETED'))
    const runs = await runsOf(at, state.id)
    expect(runs.length).toBeGreaterThan(1)
    const history = await host.history(state.id)
    expect(history.map(({ seq }) => seq)).toEqual(history.map((_, index) => index + 1))
    expect(history.flatMap(({ events }) => events).filter(({ type }) => type === 'StepDone')).toHaveLength(4)
    expect((await host.history(state.id, 2)).map(({ seq }) => seq)).toEqual(history.slice(2).map(({ seq }) => seq))
    expect(heard).toEqual(['stock', 'money', 'confirm', 'tell'].map((step) => `${state.id}:${step}:do`))
    // In the last run, which has never seen the first steps, it is still undone by what they answered.
    await host.cancel(state.id, 'ann', 'changed my mind')
    await until(async () => expect((await host.state(state.id))?.status).toBe('CANCELLED'))
    expect(heard.slice(4)).toEqual([`${state.id}:stock:undo`, `${state.id}:money:undo`])
  })

  test.concurrent('one that continues as new while it is parked is still marked', async (context) => {
    const { place, hostOn, worked } = opening(context)
    const at = await place()
    const host = hostOn(at, { workflowType: () => 'shortRuns' })
    await worked(
      at,
      activitiesSaying(definitions, () => null),
    )
    const { state } = await host.start(risky, milk)
    expect((await host.result(state.id)).status).toBe('PARKED')
    const handle = at.client.workflow.getHandle(state.id)
    const { moves, before } = await handle.query<Moves>(queries.moves)
    expect([moves, before]).toEqual([[], expect.any(String)])
    expect((await handle.describe()).memo?.[memo.parked]).toBe('charge: no answer in time')
    await host.act(state.id, { kind: 'giveUp' }, 'ann', 'no bank answers')
    await until(async () => expect((await handle.describe()).status.name).toBe('FAILED'))
    expect((await handle.describe()).memo?.[memo.parked]).toBeUndefined()
  })

  /** The runs of a workflow, the newest first. */
  async function runsOf({ client }: Place, workflowId: string): Promise<readonly string[]> {
    const runs: string[] = []
    for (let runId: string | undefined; ;) {
      const { events } = await client.workflow.getHandle(workflowId, runId).fetchHistory()
      const started = events?.[0]?.workflowExecutionStartedEventAttributes
      runs.push(runId ?? 'newest')
      if (!started?.continuedExecutionRunId) return runs
      runId = started.continuedExecutionRunId
    }
  }

  test.concurrent(
    "in Temporal's own lists a saga that failed is a failed workflow, one that parked is marked, each by its label",
    async (context) => {
      const { place, hostOn, worked } = opening(context)
      const at = await place()
      const host = hostOn(at)
      await worked(
        at,
        activitiesSaying(definitions, (command) => {
          const { type, sagaId } = command
          if (type === 'confirm') return { type: 'confirm.refused', payload: { error: 'no' } }
          return type === 'charge' && sagaId === parking ? null : yes(command)
        }),
      )
      let parking = ''
      const { state: failed } = await host.start(order, { item: 'caviar' })
      expect((await host.result(failed.id)).status).toBe('COMPENSATED')
      const described = await at.client.workflow.getHandle(failed.id).describe()
      expect(described.status.name).toBe('FAILED')
      await expect(at.client.workflow.getHandle(failed.id).result()).rejects.toMatchObject({
        cause: { type: 'COMPENSATED', message: 'order COMPENSATED after step confirm: no' },
      })

      parking = `parks-${at.taskQueue}`
      const { state: parked } = await hostOn(at, { idOf: () => parking }).start(risky, { item: 'tea' }, { key: 'any' })
      expect((await host.result(parked.id)).status).toBe('PARKED')
      const handle = at.client.workflow.getHandle(parked.id)
      const { status, memo: noted } = await handle.describe()
      expect([status.name, noted?.[memo.parked]]).toEqual(['RUNNING', 'charge: no answer in time'])
      const listed = async (query: string): Promise<readonly string[]> => {
        const found: string[] = []
        const inQueue = `TaskQueue = '${at.taskQueue}' and ${query}`
        for await (const each of at.client.workflow.list({ query: inQueue })) found.push(each.workflowId)
        return found
      }
      await until(async () => expect(await listed(`${attributes.status} = 'PARKED'`)).toEqual([parked.id]))
      await until(async () => expect(await listed(`${attributes.businessKey} = 'caviar'`)).toEqual([failed.id]))
      await until(async () => expect(await listed(`${attributes.definition} = 'risky'`)).toEqual([parked.id]))
      await until(async () => expect(await listed("ExecutionStatus = 'Failed'")).toEqual([failed.id]))

      await host.act(parked.id, { kind: 'giveUp' }, 'ann', 'no bank answers')
      expect(await host.result(parked.id)).toMatchObject({ status: 'FAILED', leftBehind: ['charge'] })
      await until(async () => expect((await handle.describe()).status.name).toBe('FAILED'))
      expect((await handle.describe()).memo?.[memo.parked]).toBeUndefined()
    },
  )

  test.concurrent(
    "Temporal's own cancel asks the saga to undo itself, and it is then a cancelled workflow",
    async (context) => {
      const { place, hostOn, worked } = opening(context)
      const at = await place()
      const host = hostOn(at)
      const heard: string[] = []
      await worked(
        at,
        activitiesSaying(definitions, (command) => {
          heard.push(command.type)
          return command.type === 'charge' ? null : yes(command)
        }),
      )
      const { state } = await host.start(order, milk)
      await until(() => expect(heard).toContain('charge'))
      const handle = at.client.workflow.getHandle(state.id)
      await handle.cancel()
      await until(async () => expect((await host.state(state.id))?.status).toBe('CANCELLING'))
      const causationId = `${state.id}:money:do`
      await host.deliver({ sagaId: state.id, id: 'late', type: 'charge.done', payload: {}, causationId })
      expect(await host.result(state.id)).toMatchObject({ status: 'CANCELLED', cancel: { by: 'temporal' } })
      await until(async () => expect((await handle.describe()).status.name).toBe('CANCELLED'))
      expect(heard.slice(-2)).toEqual(['refund', 'release'])
    },
  )

  test.concurrent('signals cancel it and bring events, and one that cannot be read does no harm', async (context) => {
    const { place, hostOn, worked } = opening(context)
    const at = await place()
    const host = hostOn(at)
    await worked(at, activitiesSaying(definitions, yes))
    const { state } = await host.start(trip, milk)
    const handle = at.client.workflow.getHandle(state.id)
    await handle.signal(requests.deliver, 'no event')
    await handle.signal(requests.cancel, 7)
    await handle.signal(requests.deliver, { id: 'e1', type: 'arrived', payload: { by: 'ann' } })
    expect((await host.result(state.id, { definition: trip })).replies.arrival).toEqual({ by: 'ann' })

    const { state: other } = await host.start(trip, milk)
    await at.client.workflow.getHandle(other.id).signal(requests.cancel, 'ann', 'changed my mind')
    expect(await host.result(other.id)).toMatchObject({ status: 'CANCELLED', cancel: { by: 'ann' } })
  })

  test.concurrent(
    'a workflow that is terminated before its saga has ended says so to whoever asks',
    async (context) => {
      const { place, hostOn, worked } = opening(context)
      const at = await place()
      const host = hostOn(at)
      let asked = false
      await worked(
        at,
        activitiesSaying(definitions, () => {
          asked = true
          return null
        }),
      )
      const { state } = await host.start(order, milk)
      await until(() => expect(asked).toBe(true))
      const [waited] = await Promise.allSettled([
        host.result(state.id),
        at.client.workflow.getHandle(state.id).terminate('by hand'),
      ])
      expect(waited).toMatchObject({
        status: 'rejected',
        reason: {
          code: 'stopped',
          retryable: false,
          message: `The workflow of saga ${state.id} was ended in Temporal before the saga had ended (STARTED).`,
        },
      })
      expect(await host.cancel(state.id, 'ann', 'x')).toMatchObject({
        accepted: false,
        reason: 'its workflow was ended in Temporal before the saga had ended (STARTED)',
      })
    },
  )

  test.concurrent('one that is terminated before any worker had begun it says so, too', async (context) => {
    const { place, hostOn } = opening(context)
    const at = await place()
    const host = hostOn(at)
    const { state } = await host.start(order, milk)
    await at.client.workflow.getHandle(state.id).terminate('by hand')
    const message = `The workflow of saga ${state.id} was ended in Temporal before any worker had begun it.`
    for (const asked of [
      () => host.state(state.id),
      () => host.history(state.id),
      () => host.result(state.id),
      () => host.cancel(state.id, 'ann', 'x'),
      () => host.act(state.id, { kind: 'retry' }, 'ann', 'x'),
    ])
      await expect(asked()).rejects.toMatchObject({ code: 'stopped', retryable: false, message })
    const { id: sagaId } = state
    expect(await host.deliver({ sagaId, id: 'e', type: 'told', payload: {} })).toEqual({
      outcome: 'refused',
      reason: message,
    })
  })

  test.concurrent('a namespace that is not there is named, and is no reason to ask again', async (context) => {
    const { place, hostOn } = opening(context)
    const at = await place()
    const { connection } = at.client
    const host = hostOn({ ...at, client: new Client({ connection, namespace: 'no-such' }) })
    for (const asked of [
      () => host.start(order, milk),
      () => host.state('x'),
      () => host.result('x'),
      () => host.cancel('x', 'ann', 'x'),
    ])
      await expect(asked()).rejects.toMatchObject({
        code: 'refused',
        retryable: false,
        message: 'Temporal has no namespace no-such: create it, or give temporalHost a client of another.',
      })
  })

  test.concurrent('a saga whose version no worker has waits, and is not undone for it', async (context) => {
    const { place, hostOn, worked } = opening(context)
    const at = await place()
    const payload = z.object({})
    const look = participantContract('shop').command('look', { payload, done: ['look.done', payload] })
    const next = defineSaga('order', { version: 2, input: z.object({ item: z.string() }) })
      .step('look', { do: look, with: () => ({}), effect: 'none' })
      .end()
    await worked(at, activitiesSaying(definitions, yes))
    const { state } = await hostOn(at, { definitions: [next] }).start(next, milk)
    const hasty = hostOn(at, { definitions: [next], answerMs: 3000 })
    await expect(hasty.state(state.id)).rejects.toMatchObject({ code: 'busy', retryable: true })
    await until(async () => {
      const { status, raw } = await at.client.workflow.getHandle(state.id).describe()
      expect([status.name, Number(raw.pendingWorkflowTask?.attempt ?? 0) > 1]).toEqual(['RUNNING', true])
    })
  })

  test.concurrent('participants behind a transport are asked by it, and answer by it', async (context) => {
    const { place, hostOn, worked } = opening(context)
    const at = await place()
    const host = hostOn(at)
    const transport = memoryTransport()
    const [charge, tell] = [patient.steps[0]?.do, patient.steps[1]?.do]
    if (charge == null || tell == null) throw new Error('the saga has two steps')
    const shop = participant({
      name: 'shop',
      source: 'shop',
      inbox: memoryInbox(),
      handlers: [handle(charge, async () => done({ ref: 'c-1' })), handle(tell, async () => done({}))],
    })
    await shop.attach(transport)
    const answers = await takeAnswers({ host, transport, definitions, group: 'sagas' })
    context.onTestFinished(async () => {
      await answers.close()
      await transport.close()
    })
    await worked(at, sagaActivities({ definitions, transport }))
    const { state } = await host.start(patient, milk)
    expect(await host.result(state.id, { definition: patient })).toMatchObject({
      status: 'COMPLETED',
      replies: { charge: { ref: 'c-1' } },
    })
  })

  test.concurrent('what a saga has decided is decided again from its stored history', async (context) => {
    const { place, hostOn, worked } = opening(context)
    const at = await place()
    const host = hostOn(at)
    await worked(
      at,
      activitiesSaying(definitions, (command) =>
        command.type === 'confirm' ? { type: 'confirm.refused', payload: { error: 'no' } } : yes(command),
      ),
    )
    const { state } = await host.start(order, milk)
    await host.result(state.id)
    const history = await at.client.workflow.getHandle(state.id).fetchHistory()
    await Worker.runReplayHistory({ workflowBundle: await bundled() }, history, state.id)
    // One that asked for something else is found.
    const events = history.events?.map((event) => {
      const asked = event.activityTaskScheduledEventAttributes
      return asked?.activityType?.name === 'charge'
        ? { ...event, activityTaskScheduledEventAttributes: { ...asked, activityType: { name: 'tell' } } }
        : event
    })
    const replayed = Worker.runReplayHistory({ workflowBundle: await bundled() }, { events }, state.id)
    await expect(replayed).rejects.toThrow(/nondeterminism/i)
  })
})
