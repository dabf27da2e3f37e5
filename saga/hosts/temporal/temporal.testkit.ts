/** Workers and hosts on a Temporal server, which end with their test or suite. */
import { randomUUID } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { Client, Connection, type WorkflowClientInterceptor } from '@temporalio/client'
import { InternalConnectionOptionsSymbol, type InternalConnectionOptions } from '@temporalio/client/lib/connection.js'
import { msToTs } from '@temporalio/common/lib/time.js'
import {
  bundleWorkflowCode,
  DefaultLogger,
  NativeConnection,
  Runtime,
  Worker,
  type WorkerOptions,
  type WorkflowBundleWithSourceMap,
} from '@temporalio/worker'
import type { CommandContract } from '../../core/contract.ts'
import type { SagaDefinition } from '../../core/definition.ts'
import type { Command } from '../../core/pending.ts'
import { Registry } from '../engine/registry.ts'
import type { Says } from '../host.contract.ts'
import { obey, sagaActivities, type Obeyed, type Obeying } from './activities.ts'

export const workflowsPath = fileURLToPath(import.meta.resolve('./workflows.testkit.ts'))

/** Only what went wrong in a worker, on stderr. */
const logger = new DefaultLogger('ERROR')
Runtime.install({ logger, telemetryOptions: { logging: { forward: {}, filter: 'ERROR' } } })

let bundle: Promise<WorkflowBundleWithSourceMap> | undefined

/** Made once for a file of tests: it takes seconds. */
export const bundled = (): Promise<WorkflowBundleWithSourceMap> =>
  (bundle ??= bundleWorkflowCode({ workflowsPath, logger }))

export const workflowTypeOf = ({ name }: SagaDefinition): string => `${name}Workflow`

/** A server, with a task queue that nobody else has; closed, what was started there is ended. */
export interface Place {
  readonly address: string
  readonly client: Client
  readonly taskQueue: string
  close(): Promise<void>
}

export async function placeOn(address: string): Promise<Place> {
  // As the SDK's own test environment connects.
  const options: InternalConnectionOptions = {
    address,
    [InternalConnectionOptionsSymbol]: { supportsTestService: true },
  }
  const connection = await Connection.connect(options)
  const started: string[] = []
  const recorder: WorkflowClientInterceptor = {
    startWithDetails(input, next) {
      started.push(input.options.workflowId)
      return next(input)
    },
  }
  const client = new Client({ connection, interceptors: { workflow: [recorder] } })
  return {
    address,
    client,
    taskQueue: `test-${randomUUID()}`,
    async close() {
      // One that waits for a worker would keep the time from being skipped.
      await Promise.allSettled(started.map((id) => client.workflow.getHandle(id).terminate('the test is over')))
      await connection.close()
    },
  }
}

/** Lets that many milliseconds pass on a server whose time can be skipped; at once. */
export async function skipTime({ client }: Place, ms: number): Promise<void> {
  const { testService } = client.connection as Connection
  if (testService === undefined) throw new Error('this server has no time to skip')
  await testService.unlockTimeSkippingWithSleep({ duration: msToTs(ms) })
}

export interface RunningWorker {
  stop(): Promise<void>
}

/** A worker in this process. */
export async function startWorker(
  { address, taskQueue }: Pick<Place, 'address' | 'taskQueue'>,
  activities: object,
  options: Pick<WorkerOptions, 'maxConcurrentActivityTaskExecutions' | 'workflowBundle'> = {},
): Promise<RunningWorker> {
  const connection = await NativeConnection.connect({ address })
  const worker = await Worker.create({
    connection,
    taskQueue,
    activities,
    workflowBundle: options.workflowBundle ?? (await bundled()),
    workflowThreadPoolSize: 1, // each loads the bundle
    shutdownGraceTime: 0,
    shutdownForceTime: '2s',
    ...options,
  })
  const running = worker.run()
  return {
    async stop() {
      worker.shutdown()
      await running.catch(() => undefined)
      await connection.close()
    },
  }
}

/** What a participant says to a command; null for no answer, `never` for an activity that does not end. */
type Answers = (command: Command) => ReturnType<Says> | 'never' | Promise<ReturnType<Says>>

/** Activities for every contract of the definitions, which answer as told. */
export function activitiesSaying(definitions: readonly SagaDefinition[], says: Answers): object {
  const { contracts } = new Registry(definitions)
  const functions = contracts.map((contract): Obeying =>
    obey(contract, async (_, command) => {
      const answer = await says(command)
      return answer === 'never' ? new Promise(() => undefined) : obeyed(contract, answer)
    }),
  )
  return sagaActivities({ definitions, functions })
}

function obeyed({ answered, done, rejected }: CommandContract, answer: ReturnType<Says>): Obeyed<unknown> {
  if (answer === null || !answered) return null
  if (answer.type === done.type) return { done: answer.payload }
  return { rejected: rejected?.reason(answer.payload) ?? '' }
}
