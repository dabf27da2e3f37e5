/**
 * A worker: takes the workflows and activities of a queue from Temporal's server, for as long as it runs. An absent server is
 * waited for, and one that went away is come back to; over HTTP it says whether it works now.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  bundleWorkflowCode,
  DefaultLogger,
  NativeConnection,
  Runtime,
  Worker,
  type WorkerOptions,
  type WorkflowBundleWithSourceMap,
} from '@temporalio/worker'
import type { Logger } from 'pino'
import { listen } from '../../shared/http/listen.ts'
import { errorAlone } from '../../shared/http/error-shapes.ts'
import { createHttpServer } from '../../shared/http/server.ts'
import type { OpenService, ServerOptions } from '../../shared/service.ts'
import type { TemporalTarget } from './temporal.ts'

export interface WorkerServiceOptions extends ServerOptions {
  readonly temporal: TemporalTarget
}

export interface WorkerDescription {
  readonly name: string
  readonly title: string
  readonly description: string
  readonly portVariable: string
  readonly taskQueue: string
  /** The module that exports them. */
  readonly workflows: URL
  readonly activities: object
  /** For tests: activities that are not local are left to others. */
  readonly only?: Pick<WorkerOptions, 'enableNonLocalActivities'>
}

const firstPauseMs = 500
const longestPauseMs = 10_000
/** What is in hand may take so long when the process is asked to stop; its outcome is unknown after that, and asked for again. */
const graceMs = 10_000

export async function openWorker(options: WorkerServiceOptions, about: WorkerDescription): Promise<OpenService> {
  const { log, host, port, callers, temporal } = options
  logOnce(log)
  const stopping = new AbortController()
  let worker: Worker | null = null

  const server = await createHttpServer({
    title: about.title,
    description: about.description,
    version: '1.0.0',
    log,
    errors: errorAlone,
    ready: async () => ({ worker: worker?.getState() === 'RUNNING' }),
    ...(callers === undefined ? {} : { callers }),
  })
  const url = await listen(server, host, port, about.portVariable)

  async function work(): Promise<void> {
    const workflowBundle = await bundled(about.workflows)
    const connection = await NativeConnection.connect({ address: temporal.address })
    try {
      worker = await Worker.create({
        connection,
        namespace: temporal.namespace,
        taskQueue: about.taskQueue,
        workflowBundle,
        activities: about.activities,
        shutdownGraceTime: graceMs,
        shutdownForceTime: 2 * graceMs,
        ...about.only,
      })
      if (stopping.signal.aborted) worker.shutdown()
      log.info({ url, taskQueue: about.taskQueue, temporal: temporal.address }, 'ready: workflows are taken')
      await worker.run()
    } finally {
      worker = null
      await connection.close().catch(() => undefined)
    }
  }

  /** Ends with the service alone. */
  async function keepWorking(): Promise<void> {
    for (let pauseMs = firstPauseMs; !stopping.signal.aborted; pauseMs = Math.min(2 * pauseMs, longestPauseMs)) {
      const since = performance.now()
      try {
        await work()
      } catch (err) {
        log.warn(
          { err, temporal: temporal.address },
          'no worker now: Temporal does not answer, or refuses; tried again',
        )
      }
      if (performance.now() - since > longestPauseMs) pauseMs = firstPauseMs
      await pause(pauseMs, undefined, { signal: stopping.signal }).catch(() => undefined)
    }
  }

  let working: Promise<void> = Promise.resolve()
  return {
    name: about.name,
    url,
    begin: () => void (working = keepWorking()),
    async close() {
      stopping.abort()
      if (worker?.getState() === 'RUNNING') worker.shutdown()
      await working
      await server.close()
    },
  }
}

const quiet = new DefaultLogger('ERROR')

/** The module of workflows in the folder of another, both as sources or both built. */
export const workflowsBeside = (address: string): URL => new URL(`./workflows${extname(address)}`, address)

const bundles = new Map<string, Promise<WorkflowBundleWithSourceMap>>()

/** Made once for a process: it takes seconds. */
export function bundled(workflows: URL): Promise<WorkflowBundleWithSourceMap> {
  const workflowsPath = fileURLToPath(workflows)
  const known = bundles.get(workflowsPath)
  if (known !== undefined) return known
  const bundle = bundleOf(workflowsPath)
  bundles.set(workflowsPath, bundle)
  bundle.catch(() => bundles.delete(workflowsPath))
  return bundle
}

/** Run from its sources, the library is bundled from its sources too; built, it is bundled as built. */
function bundleOf(workflowsPath: string): Promise<WorkflowBundleWithSourceMap> {
  const conditionNames = [...(extname(workflowsPath) === '.ts' ? ['source'] : []), 'import', 'require', 'default']
  return bundleWorkflowCode({
    workflowsPath,
    logger: quiet,
    webpackConfigHook: (config) => ({ ...config, resolve: { ...config.resolve, conditionNames } }),
  })
}

let isLogging = false

/** The SDK has one log for a process. */
function logOnce(log: Logger): void {
  if (isLogging) return
  isLogging = true
  const levels = { TRACE: 'trace', DEBUG: 'debug', INFO: 'debug', WARN: 'warn', ERROR: 'error' } as const
  const logger = new DefaultLogger('WARN', ({ level, message, meta }) => log[levels[level]]({ ...meta }, message))
  Runtime.install({ logger, telemetryOptions: { logging: { forward: {}, filter: 'WARN' } } })
}
