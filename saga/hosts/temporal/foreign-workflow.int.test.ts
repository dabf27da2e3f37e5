/** Sagas inside workflows that others start, whose commands are activities of others. */
import { fileURLToPath } from 'node:url'
import { activityInfo, ApplicationFailure, cancellationSignal } from '@temporalio/activity'
import { bundleWorkflowCode, DefaultLogger, Worker, type WorkflowBundleWithSourceMap } from '@temporalio/worker'
import { beforeAll, expect, test, vi, type TestContext } from 'vitest'
import { suiteOn, temporalAddress } from '../../../tests/kit/parts.ts'
import { commandedBy, obey, sagaActivities } from './activities.ts'
import { insuredParcel, parcel, ship } from './parcel.testkit.ts'
import { queries } from './protocol.ts'
import { placeOn, startWorker, type Place } from './temporal.testkit.ts'

const until = (check: () => void | Promise<void>): Promise<void> => vi.waitFor(check, { timeout: 45_000, interval: 50 })

const bundleOf = (file: string): Promise<WorkflowBundleWithSourceMap> =>
  bundleWorkflowCode({ workflowsPath: fileURLToPath(import.meta.resolve(file)), logger: new DefaultLogger('ERROR') })

type Says = () => unknown

interface Asked {
  readonly activity: string
  readonly args: readonly unknown[]
  readonly command: ReturnType<typeof commandedBy>
}

/** Activities of others, which record what they are asked for; `ship` is one of ours. */
function activitiesOf(says: Readonly<Record<string, Says>>, asked: Asked[]): object {
  const theirs = Object.fromEntries(
    ['weigh', 'pack', 'unpack', 'insure'].map((type) => [
      `their_${type}`,
      async (...args: readonly unknown[]) => {
        asked.push({ activity: type, args, command: commandedBy(activityInfo().activityId) })
        return (says[type] ?? (() => true))()
      },
    ]),
  )
  const shipping = obey(ship, async (_, { id, undoes }) => {
    asked.push({ activity: 'ship', args: [], command: { id, undoes } })
    return (says['ship'] ?? (() => true))() === true ? { done: {} } : { rejected: 'no ship' }
  })
  const definitions = [parcel, insuredParcel]
  const foreign = definitions
    .flatMap(({ steps }) => steps.flatMap((step) => [step.do ?? [], step.undo ?? []].flat()))
    .filter(({ type }) => type !== 'ship')
  return {
    ...sagaActivities({ definitions, functions: [shipping], foreign }),
    ...theirs,
  }
}

/** Says nothing, and ends with its worker. */
const untilStopped = (): Promise<never> =>
  new Promise((_, reject) => cancellationSignal().addEventListener('abort', () => reject(new Error('stopped'))))

suiteOn('Temporal', await temporalAddress(), 'sagas in workflows that others start', (address) => {
  let current: WorkflowBundleWithSourceMap
  let newer: WorkflowBundleWithSourceMap
  beforeAll(async () => {
    current = await bundleOf('./foreign-workflows.testkit.ts')
    newer = await bundleOf('./newer-workflows.testkit.ts')
  })

  /** Each test has a queue of its own, and they mostly wait: they go side by side. What one opens ends with it. */
  function opening({ onTestFinished }: TestContext) {
    return {
      async place(): Promise<Place> {
        const opened = await placeOn(address)
        onTestFinished(() => opened.close())
        return opened
      },
      async worked(at: Place, says: Readonly<Record<string, Says>> = {}, workflowBundle = current) {
        const asked: Asked[] = []
        const worker = await startWorker(at, activitiesOf(says, asked), { workflowBundle })
        let isRunning = true
        const stop = async (): Promise<void> => {
          if (isRunning) await worker.stop()
          isRunning = false
        }
        onTestFinished(stop)
        return { asked, stop, names: () => asked.map(({ activity }) => activity) }
      },
    }
  }

  const begun = ({ client, taskQueue }: Place, workflow = 'ParcelWorkflow', args: unknown[] = ['tea', 'by air']) =>
    client.workflow.start(workflow, { workflowId: `parcel-${taskQueue}`, taskQueue, args })
  type Handle = Awaited<ReturnType<typeof begun>>
  const failure = async (handle: Handle): Promise<unknown> =>
    handle.result().catch((error: unknown) => (error as { readonly cause?: unknown }).cause)

  test.concurrent(
    'each command is the activity that it is called as, told whose it is; the rest are ours',
    async (context) => {
      const { place, worked } = opening(context)
      const at = await place()
      const { asked } = await worked(at)
      const handle = await begun(at)
      expect(await handle.result()).toBe('shipped')
      const id = `${handle.workflowId}/${handle.firstExecutionRunId}`
      expect(asked).toEqual([
        { activity: 'weigh', args: ['tea', 1], command: null },
        { activity: 'pack', args: ['tea', 1], command: { id: `${id}:pack:do`, undoes: null } },
        { activity: 'ship', args: [], command: { id: `${id}:ship:do`, undoes: null } },
      ])
    },
  )

  test.concurrent(
    'one that was undone because that was asked for has not ended well, whoever asked',
    async (context) => {
      const { place, worked } = opening(context)
      const at = await place()
      const handle = await begun(at)
      await handle.signal('cancel', 'ann', 'no more tea') // before any worker is there: with the start, in one task
      await worked(at)
      expect(await failure(handle)).toMatchObject({ type: 'CANCELLED' })
      expect((await handle.describe()).status.name).toBe('FAILED')
    },
  )

  test.concurrent('an execution timeout of whoever starts it ends his workflow, and not the saga', async (context) => {
    const { place, worked } = opening(context)
    const at = await place()
    let isPacked = (): void => undefined
    const packing = new Promise<boolean>((resolve) => (isPacked = () => resolve(true)))
    const { names } = await worked(at, { pack: () => packing })
    const handle = await at.client.workflow.start('ParcelWorkflow', {
      workflowId: `parcel-${at.taskQueue}`,
      taskQueue: at.taskQueue,
      args: ['tea'],
      workflowExecutionTimeout: '10s',
    })
    await until(() => expect(names()).toContain('pack'))
    await until(async () => expect((await handle.describe()).status.name).toBe('TIMED_OUT'))
    isPacked()
    const saga = at.client.workflow.getHandle(`${handle.workflowId}/${handle.firstExecutionRunId}`)
    expect(await saga.result()).toBe('shipped')
  })

  test.concurrent('one that is in time gives what its saga gives, an undone one its failure', async (context) => {
    const { place, worked } = opening(context)
    const at = await place()
    let there = true
    await worked(at, { ship: () => there })
    const inTime = () =>
      at.client.workflow.start('ParcelWorkflow', {
        workflowId: `parcel-${at.taskQueue}`,
        taskQueue: at.taskQueue,
        args: ['tea'],
        workflowExecutionTimeout: '50s',
      })
    expect(await (await inTime()).result()).toBe('shipped')
    there = false
    expect(await failure(await inTime())).toMatchObject({ type: 'COMPENSATED' })
  })

  test.concurrent(
    'whatever is in the id of a workflow, its commands have keys that can stand in headers',
    async (context) => {
      const { place, worked } = opening(context)
      const at = await place()
      const { asked } = await worked(at)
      const workflowId = `a parcel of tea, 茶 ${at.taskQueue}`
      await at.client.workflow.execute('ParcelWorkflow', { workflowId, taskQueue: at.taskQueue, args: ['tea'] })
      const key = asked.find(({ activity }) => activity === 'pack')?.command?.id ?? ''
      expect(key).toMatch(/^[\x21-\x7e]+:pack:do$/)
      expect(decodeURIComponent(key)).toContain(workflowId)
    },
  )

  test.concurrent(
    'an undo is told what it takes back, and a workflow that follows under the same id has commands of its own',
    async (context) => {
      const { place, worked } = opening(context)
      const at = await place()
      let there = false
      const { asked } = await worked(at, { ship: () => there })
      const first = await begun(at)
      expect(await failure(first)).toMatchObject({
        type: 'COMPENSATED',
        message: 'parcel COMPENSATED after step ship: no ship',
      })
      const id = `${first.workflowId}/${first.firstExecutionRunId}`
      expect(asked.at(-1)).toEqual({
        activity: 'unpack',
        args: ['tea', 1],
        command: { id: `${id}:pack:undo`, undoes: `${id}:pack:do` },
      })
      there = true
      const second = await begun(at)
      expect(await second.result()).toBe('shipped')
      expect(second.workflowId).toBe(first.workflowId)
      const ids = asked.flatMap(({ command }) => command?.id ?? [])
      expect(new Set(ids).size).toBe(ids.length)
    },
  )

  test.concurrent.for([
    ['weigh', 'FAILED', ['weigh']],
    ['pack', 'FAILED', ['weigh', 'pack']],
  ] as const)('one that fails for good has refused, local or not: %s', async ([type, status, names], context) => {
    const { place, worked } = opening(context)
    const at = await place()
    const worker = await worked(at, {
      [type]: () => {
        throw ApplicationFailure.nonRetryable('too heavy', 'Heavy')
      },
    })
    expect(await failure(await begun(at))).toMatchObject({
      type: status,
      message: `parcel ${status} after step ${type}: Heavy: too heavy`,
    })
    expect(worker.names()).toEqual(names)
  })

  test.concurrent.for(['weigh', 'pack'])(
    'one that fails otherwise is asked again, local or not: %s',
    async (type, context) => {
      const { place, worked } = opening(context)
      const at = await place()
      let times = 0
      const { names } = await worked(at, {
        [type]: () => {
          times += 1
          if (times === 1) throw new Error('not now')
          return true
        },
      })
      expect(await (await begun(at)).result()).toBe('shipped')
      expect(names().filter((name) => name === type)).toHaveLength(2)
    },
  )

  test.concurrent(
    'a run that continues as new goes on with its saga, whose commands keep their ids, and gives what became of it',
    async (context) => {
      const { place, worked } = opening(context)
      const at = await place()
      const { asked, names } = await worked(at)
      const handle = await begun(at, 'ShortParcelWorkflow')
      expect(await handle.result()).toMatchObject({ status: 'COMPLETED', input: { item: 'tea' } })
      const { runId } = await at.client.workflow.getHandle(handle.workflowId).describe()
      expect(runId).not.toBe(handle.firstExecutionRunId)
      expect(names()).toEqual(['weigh', 'pack', 'ship'])
      expect(asked.at(-1)?.command?.id).toBe(`${handle.workflowId}/${handle.firstExecutionRunId}:ship:do`)
    },
  )

  test.concurrent(
    'arguments that do not fit fail the workflow, and so do those that look like what a run has left',
    async (context) => {
      const { place, worked } = opening(context)
      const at = await place()
      const { asked } = await worked(at)
      for (const args of [[], [7], [{ carried: {}, structure: parcel.structureKey, definition: 'parcel', version: 1 }]])
        expect(await failure(await begun(at, 'ParcelWorkflow', args))).toMatchObject({
          type: 'invalid_input',
          message: expect.stringContaining("The workflow's arguments do not fit parcel: ") as unknown,
        })
      expect(asked).toEqual([])
    },
  )

  test.concurrent(
    'after a new version sagas go on under the one that they began with, and new ones begin under the newer',
    async (context) => {
      const { place, worked } = opening(context)
      const at = await place()
      const older = await worked(at, { pack: untilStopped })
      const before = await begun(at)
      await until(() => expect(older.names()).toContain('pack'))
      await older.stop()
      const { names } = await worked(at, {}, newer)
      expect(await before.result()).toBe('shipped')
      expect(names()).toEqual(['pack', 'ship'])
      const history = await before.fetchHistory()
      await Worker.runReplayHistory({ workflowBundle: newer }, history, before.workflowId)

      const after = await begun(at)
      expect(await after.result()).toBe('shipped')
      expect(names().slice(2)).toEqual(['weigh', 'pack', 'insure', 'ship'])
      expect(await after.query<{ readonly version: number }>(queries.state)).toMatchObject({ version: 2 })
      await Worker.runReplayHistory({ workflowBundle: newer }, await after.fetchHistory(), after.workflowId)
    },
  )

  test.concurrent('a worker that has the older version alone leaves a saga of the newer as it is', async (context) => {
    const { place, worked } = opening(context)
    const at = await place()
    const first = await worked(at, { pack: untilStopped }, newer)
    const handle = await begun(at)
    await until(() => expect(first.names()).toContain('pack'))
    await first.stop()
    const older = await worked(at)
    await until(async () =>
      expect(Number((await handle.describe()).raw.pendingWorkflowTask?.attempt ?? 0)).toBeGreaterThan(1),
    )
    expect([(await handle.describe()).status.name, older.names()]).toEqual(['RUNNING', []])
    await older.stop()
    await worked(at, {}, newer)
    expect(await handle.result()).toBe('shipped')
  })
})
