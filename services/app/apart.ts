/**
 * Starts every service as a process of its own, as they run in production, and looks after them: they are told by the
 * environment, get ready one after the other, and are stopped together.
 *
 * Invariants:
 * - one starts once the one before it is ready: who obeys commands is there before who gives them. They stop in the
 *   reverse order;
 * - a terminal's Ctrl-C reaches this process alone, which then stops them in that order. Where this process is killed, they
 *   see the end of the channel to it, and stop by themselves (`main.ts`).
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { urlAt } from '../shared/http/listen.ts'
import { ConfigError, taking, type Config } from './config.ts'
import { byName, peers, services, type ServiceName } from './registry.ts'
import { databaseOf, type System } from './system.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** What a service's process says to the one that started it, once it listens and reads its channels. */
export const startedMessage = 'ready'

/** How long a service may take until it is ready, in milliseconds: a broker may be slow to make the first channels. */
const startMs = 120_000
/** How long it may take to stop, in milliseconds; then it is killed. */
const stopMs = 30_000
const pollMs = 50

const never = new Promise<never>(() => undefined)

/** A service that runs apart ended by itself, or did not get ready; the message says which, and why. */
export class ApartError extends Error {
  override readonly name = 'ApartError'
  /** A person can mend it: the process said so by exit code 2. */
  readonly isMendable: boolean
  constructor(message: string, isMendable: boolean) {
    super(message)
    this.isMendable = isMendable
  }
}

export interface Apart extends System {
  /** Resolves when all are ready; never where one ends, or all are stopped, before. @throws ApartError */
  readonly ready: Promise<void>
  /** Rejects with an ApartError once one ends by itself; the others still run then. */
  readonly failed: Promise<never>
}

/**
 * @param program what Node runs, before the service's name: its options and `main.ts`
 * @param tell prints what the processes write: their log as it is, anything else with the service's name before it
 * @throws ConfigError where a port is left to the system, so that the others could not find the service
 */
export function startApart(
  config: Config,
  environment: Environment,
  program: readonly string[],
  tell: (line: string) => void,
): Apart {
  const chosen = taking(config)
  const unknown = chosen.filter(({ name }) => config.ports[name] === 0)
  if (unknown.length > 0)
    throw new ConfigError(
      `${unknown.map(({ port }) => port.variable).join(', ')}: apart, services find each other by their ports; choose one above 0.`,
    )
  const urls = byName(services, ({ name }) => urlAt(config.HOST, config.ports[name]))
  const variables = variablesFor(config, environment, urls)
  const running: Process[] = []
  let isClosing = false
  let fail: (error: ApartError) => void = () => undefined
  const failed = new Promise<never>((_resolve, reject) => (fail = reject))
  failed.catch(() => undefined) // it is one of several ways to learn of it

  const startAll = async (): Promise<void> => {
    for (const { name, keeps } of chosen) {
      if (isClosing) await never
      const process = launch(name, program, variables[name], tell)
      running.push(process)
      void process.ended.then((error) => (isClosing ? undefined : fail(error)))
      await process.started
      // One that waits for Temporal keeps nobody from starting.
      if (keeps !== 'workflows') await untilReady(name, urls[name], () => isClosing)
    }
    if (isClosing) await never
  }

  return {
    services: chosen.map(({ name }) => ({ name, url: urls[name] })),
    url: (name) => urls[name],
    ready: startAll(),
    failed,
    async close() {
      isClosing = true
      for (const process of running.toReversed()) await process.stop()
    },
  }
}

/** What each is told: all that this process is, and its own database on the server that is named. */
function variablesFor(
  { DATABASE_URL: server }: Config,
  environment: Environment,
  urls: Readonly<Record<ServiceName, string>>,
): Readonly<Record<ServiceName, Environment>> {
  const said = Object.fromEntries(
    Object.entries(environment).filter(([, value]) => value !== undefined && value !== ''),
  )
  const found = Object.fromEntries(peers.map(({ name, url }) => [url, urls[name]]))
  return byName(services, (service) => ({
    LOG_LEVEL: 'warn',
    ...found,
    ...said,
    ...(server !== undefined && 'database' in service ? { DATABASE_URL: databaseOf(server, service.database) } : {}),
  }))
}

interface Process {
  /** Resolves when it listens and reads its channels; never where it ends before. @throws ApartError where that takes too long */
  readonly started: Promise<void>
  /** Resolves with what there is to say of it, when it has ended and all that it wrote is read. */
  readonly ended: Promise<ApartError>
  stop(): Promise<void>
}

function launch(
  name: ServiceName,
  program: readonly string[],
  env: Environment,
  tell: (line: string) => void,
): Process {
  // In a group of its own: a terminal's Ctrl-C is not for it.
  const child = spawn(process.execPath, [...program, name], {
    detached: true,
    env,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  })
  let reason = ''
  const pass = (line: string): void => {
    const [, last] = /^ordersaga: (.*)/.exec(line) ?? []
    if (last !== undefined) reason = last
    else tell(line.startsWith('{') ? line : `${name}: ${line}`)
  }
  for (const stream of [child.stdout, child.stderr] as Readable[]) createInterface({ input: stream }).on('line', pass)
  let hasStarted = false
  const started = new Promise<void>((resolve) => {
    child.on('message', (message) => {
      hasStarted ||= message === startedMessage
      if (hasStarted) resolve()
    })
  })
  const ended = once(child, 'close').then(([code, signal]: (number | string | null)[]) => {
    const why = [reason, code === null ? String(signal) : `exit code ${code}`].find((text) => text !== '')
    return new ApartError(`${name} ${hasStarted ? 'ended by itself' : 'did not start'}: ${why}`, code === 2)
  })
  return {
    started: inTime(started, ended, name),
    ended,
    async stop() {
      child.kill('SIGTERM')
      const late = setTimeout(() => child.kill('SIGKILL'), stopMs)
      await ended
      clearTimeout(late)
    },
  }
}

async function inTime(started: Promise<void>, ended: Promise<unknown>, name: ServiceName): Promise<void> {
  const late = new AbortController()
  const over = (): void => late.abort()
  started.then(over, over)
  ended.then(over, over)
  const isLate = await delay(startMs, true, { signal: late.signal }).catch(() => false)
  if (isLate) throw notReady(name, 'it still starts, see what it wrote above')
  return started
}

const notReady = (name: ServiceName, why: string): ApartError =>
  new ApartError(`${name} is not ready after ${startMs / 1000} s: ${why}`, true)

async function untilReady(name: ServiceName, url: string, isOver: () => boolean): Promise<void> {
  const deadline = performance.now() + startMs
  while (!isOver()) {
    const answer = await readiness(`${url}/health/ready`)
    if (answer === null) return
    if (performance.now() > deadline) throw notReady(name, answer)
    await delay(pollMs)
  }
}

/** Null where it is ready, else what it says. */
async function readiness(url: string): Promise<string | null> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(10_000) })
    const text = await response.text()
    return response.ok ? null : `${url} answers ${response.status} ${text}`
  } catch (error) {
    return `${url} does not answer: ${(error as Error).message}`
  }
}
