/**
 * Sagas on Temporal: the same five steps and participants as in `engine.ts`, on a real server with its database in a file, beside
 * the durable engine on SQLite and Temporal's own idiom (activities, undo functions in a catch block). One worker, in this process.
 */
import { fileURLToPath } from 'node:url'
import { Client, Connection, WorkflowFailedError } from '@temporalio/client'
import { bundleWorkflowCode, DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker'
import { startEngine } from 'ordersaga/engine'
import { obey, sagaActivities } from 'ordersaga/temporal/activities'
import { temporalHost } from 'ordersaga/temporal/host'
import { sqliteStore } from 'ordersaga/stores/sqlite'
import { memoryTransport } from 'ordersaga/transports/memory'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { installedPart, startPrivatePart } from '../tests/kit/private-part.ts'
import { head, print, row, whole } from './table.ts'
import { answerAtOnce, ask, fiveSteps, input, oneStep, ref, undo } from './workload.ts'

const windows = [1, 16, 64] as const

/** Runs one to its end. */
type RunOne = (refuse: boolean) => Promise<unknown>

interface Seen {
  readonly perSecond: number
  readonly medianMs: number
}

async function measure(run: RunOne, inFlight: number, sagas: number): Promise<Seen> {
  const times: number[] = []
  let left = sagas
  const began = performance.now()
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      while (left-- > 0) {
        const from = performance.now()
        await run(false)
        times.push(performance.now() - from)
      }
    }),
  )
  const seconds = (performance.now() - began) / 1000
  times.sort((a, b) => a - b)
  return { perSecond: sagas / seconds, medianMs: times[Math.floor(times.length / 2)] ?? 0 }
}

const functions = [
  obey(ask, async (payload) =>
    (payload as { readonly refuse?: boolean }).refuse === true ? { rejected: 'no' } : { done: { ref } },
  ),
  obey(undo, async () => ({ done: {} })),
]
/** Of the idiom. */
const plain = { work: async () => ({ ref }), undo: async () => undefined }

export async function benchTemporal(quick: boolean): Promise<void> {
  if ((await installedPart('temporal')) === null) return print('Temporal is not installed: left out')
  Runtime.install({
    logger: new DefaultLogger('ERROR'),
    telemetryOptions: { logging: { forward: {}, filter: 'ERROR' } },
  })
  const server = await startPrivatePart('temporal')
  const folder = mkdtempSync(join(tmpdir(), 'ordersaga-bench-'))
  const connection = await Connection.connect({ address: server.url })
  const workers = await NativeConnection.connect({ address: server.url })
  const taskQueue = 'bench'
  const worker = await Worker.create({
    connection: workers,
    taskQueue,
    workflowBundle: await bundleWorkflowCode({
      workflowsPath: fileURLToPath(import.meta.resolve('./temporal-workflows.ts')),
      logger: new DefaultLogger('ERROR'),
      webpackConfigHook: (config) => ({
        ...config,
        resolve: { ...config.resolve, conditionNames: ['source', 'import', 'require', 'default'] },
      }),
    }),
    activities: { ...sagaActivities({ definitions: [fiveSteps, oneStep], functions }), ...plain },
  })
  const running = worker.run()
  const transport = memoryTransport()
  await answerAtOnce(transport)
  const store = sqliteStore({ file: join(folder, 'sagas.db') })
  const engine = await startEngine({ store, transport, definitions: [fiveSteps, oneStep] })
  try {
    const client = new Client({ connection })
    const workflowType = ({ name }: { readonly name: string }): string => (name === fiveSteps.name ? 'five' : 'one')
    const host = temporalHost({ client, taskQueue, definitions: [fiveSteps, oneStep], workflowType })
    /** As any client waits for a workflow. */
    const ended = async (id: string): Promise<unknown> =>
      client.workflow.result(id).catch((error: unknown) => {
        if (!(error instanceof WorkflowFailedError)) throw error
      })
    const onTemporal = async (refuse: boolean) => ended((await host.start(fiveSteps, input(refuse))).state.id)
    const oneOnTemporal = async () => ended((await host.start(oneStep, input(false))).state.id)
    let started = 0
    const byIdiom: RunOne = (refuse) => {
      started += 1
      return client.workflow
        .execute('idiom', { workflowId: `idiom-${started}`, taskQueue, args: [input(refuse)] })
        .catch(() => undefined)
    }
    const onEngine = async (refuse: boolean) => engine.result((await engine.start(fiveSteps, input(refuse))).saga.id)
    const oneOnEngine = async () => engine.result((await engine.start(oneStep, input(false))).saga.id)

    const sagas = (inFlight: number): number => Math.ceil((quick ? 10 : 30) * Math.sqrt(inFlight))
    for (const run of [onTemporal, byIdiom, onEngine]) await measure(run, 16, quick ? 32 : 100) // until the code is warm
    head(['in flight', 'on Temporal, sagas/s', "Temporal's idiom", 'ratio', 'the engine on SQLite'])
    for (const inFlight of windows) {
      // In turns, so that what else the machine does meets both alike.
      const turns = quick ? 1 : 3
      const seen = { ours: 0, idiom: 0 }
      for (let turn = 0; turn < turns; turn += 1) {
        seen.ours += (await measure(onTemporal, inFlight, sagas(inFlight))).perSecond / turns
        seen.idiom += (await measure(byIdiom, inFlight, sagas(inFlight))).perSecond / turns
      }
      const engineOne = await measure(onEngine, inFlight, 10 * sagas(inFlight))
      row([
        inFlight,
        seen.ours.toFixed(1),
        seen.idiom.toFixed(1),
        (seen.ours / seen.idiom).toFixed(2),
        whole(engineOne.perSecond),
      ])
    }
    print('')
    head(['one alone', 'five steps, median ms', 'one step', 'a step costs'])
    const alone = async (name: string, five: RunOne, single: RunOne): Promise<void> => {
      const [long, short] = [await measure(five, 1, sagas(1)), await measure(single, 1, sagas(1))]
      row([
        name,
        long.medianMs.toFixed(1),
        short.medianMs.toFixed(1),
        ((long.medianMs - short.medianMs) / 4).toFixed(2),
      ])
    }
    await alone('on Temporal', onTemporal, oneOnTemporal)
    await alone('the engine on SQLite', onEngine, oneOnEngine)
    print('')
  } finally {
    await engine.stop()
    await transport.close()
    worker.shutdown()
    await running
    await connection.close()
    await workers.close()
    await server.remove()
    rmSync(folder, { recursive: true, force: true })
  }
}
