/**
 * The services as processes of their own, or all in one, as the image starts them: by what is built of `services/app/main.ts`
 * and the environment alone. A test asks them over HTTP, kills them and starts them again.
 */
import {
  byName,
  isPeerName,
  services,
  withoutTemporal,
  type PeerName,
  type ServiceName,
} from '../../services/app/registry.ts'
import { builtMain } from './built.ts'
import { startChild, type Child } from './child.ts'
import { isFree } from './free-port.ts'
import { until } from './until.ts'

const startMs = 120_000

type Variables = Readonly<Record<string, string>>

/** Where the services keep their data and how their messages move. */
export interface Setting {
  /** One process with all services, or one for each that keeps something; then there is no front door. */
  readonly apart: boolean
  /** What the environment of a service says besides ports and addresses. */
  readonly variables: (service: PeerName) => Variables
  /** Processes of each orchestrator, where every service is one of its own; one where none is given. */
  readonly orchestrators?: number
}

export interface System {
  /** Where a service listens; of several processes the first. */
  url(service: ServiceName): string
  /** Where each process of a service listens. */
  urls(service: ServiceName): readonly string[]
  /** `user`, …, `create-order`, `create-order-2`, …, or `all`. */
  readonly processes: readonly string[]
  /** SIGKILL, and gone. */
  kill(process: string): Promise<void>
  /** Starts it where it does not run; resolves when it is ready. */
  start(process: string): Promise<void>
  /** Starts it, and does not wait until it is ready. */
  launch(process: string): void
  /** Every process that runs is ready. */
  ready(): Promise<void>
  /** The last lines of every process. */
  tails(): string
  /** Asks all to end; their exit codes. */
  stop(): Promise<readonly (number | null)[]>
  /** Kills what still runs. */
  destroy(): Promise<void>
}

interface Process {
  readonly variables: Variables
  readonly command: string
  readonly urls: readonly string[]
  child: Child | null
}

export async function startSystem(setting: Setting): Promise<System> {
  const system = await layOut(setting)
  try {
    await Promise.all(system.processes.map((name) => system.start(name)))
    return system
  } catch (error) {
    await system.destroy()
    throw error
  }
}

/** The system with its ports chosen and nothing running yet. */
export async function layOut({ apart, variables, orchestrators = 1 }: Setting): Promise<System> {
  const seats = withoutTemporal.flatMap((service) =>
    Array.from({ length: apart && service.keeps === 'sagas' ? orchestrators : 1 }, (_none, index) => ({
      service,
      process: index === 0 ? service.name : `${service.name}-${index + 1}`,
    })),
  )
  const ports = await freePorts(seats.length)
  const places = seats.map((seat, index) => ({ ...seat, url: `http://127.0.0.1:${ports[index] ?? 0}` }))
  const urls = byName(services, ({ name }) =>
    places.filter(({ service }) => service.name === name).map(({ url }) => url),
  )
  const portAt = ({ port }: (typeof services)[number], url: string): Variables => ({
    [port.variable]: new URL(url).port,
  })
  const shared: Variables = Object.assign(
    { LOG_LEVEL: 'warn' },
    ...places.map(({ service }) => ('url' in service ? { [service.url]: first(urls[service.name]) } : {})),
    ...withoutTemporal.map((service) => portAt(service, first(urls[service.name]))),
  ) as Variables
  const processes = new Map<string, Process>()
  if (apart) {
    for (const { service, process, url } of places)
      if (service.keeps !== 'nothing') {
        const own = { ...shared, ...variables(service.name), ...portAt(service, url) }
        processes.set(process, alone(service.name, own, [url]))
      }
  } else {
    // What one of them is told, all are.
    const told = Object.assign(
      {},
      ...seats.flatMap(({ service: { name } }) => (isPeerName(name) ? [variables(name)] : [])),
    ) as Variables
    processes.set('all', alone('all', { ...shared, ...told }, Object.values(urls).flat()))
  }
  return running(processes, urls)
}

const first = ([url = '']: readonly string[]): string => url

const alone = (command: string, variables: Variables, urls: readonly string[]): Process => ({
  command,
  variables,
  urls,
  child: null,
})

function running(
  processes: ReadonlyMap<string, Process>,
  urls: Readonly<Record<ServiceName, readonly string[]>>,
): System {
  const all = (): readonly Process[] => [...processes.values()]
  const find = (name: string): Process => {
    const found = processes.get(name)
    if (found === undefined)
      throw new Error(`there is no process ${name}: there are ${[...processes.keys()].join(', ')}`)
    return found
  }
  const system: System = {
    url: (service) => first(urls[service]),
    urls: (service) => urls[service],
    processes: [...processes.keys()],
    async kill(name) {
      const process = find(name)
      await process.child?.kill()
      process.child = null
    },
    async start(name) {
      system.launch(name)
      await untilReady(name, find(name))
    },
    launch: (name) => launch(find(name)),
    async ready() {
      for (const [name, process] of processes) if (process.child !== null) await untilReady(name, process)
    },
    tails: () => [...processes].map(([name, { child }]) => `--- ${name}\n${child?.tail() ?? 'not running'}`).join('\n'),
    stop: () =>
      Promise.all(
        all().map(async (process) => {
          const code = (await process.child?.stop()) ?? null
          process.child = null
          return code
        }),
      ),
    async destroy() {
      await Promise.all(all().flatMap(({ child }) => (child === null ? [] : [child.kill()])))
    },
  }
  return system
}

function launch(process: Process): void {
  process.child ??= startChild(builtMain, [process.command], process.variables, () => undefined)
}

/** One that cannot reach its server in time ends, and whoever supervises it starts it again. */
const startsAgain = /cannot be reached/

async function untilReady(name: string, process: Process): Promise<void> {
  const tail = (): string => process.child?.tail() ?? ''
  await until(
    `${name} is ready`,
    startMs,
    async () => {
      if (process.child?.ended() != null) {
        if (!startsAgain.test(tail())) throw new Error(`${name} ended at its start:\n${tail()}`)
        process.child = null
        launch(process)
      }
      return (await Promise.all(process.urls.map((url) => isReady(url)))).every(Boolean)
    },
    tail,
  )
}

async function isReady(url: string): Promise<boolean> {
  try {
    const response = await fetch(`${url}/health/ready`, { signal: AbortSignal.timeout(10_000) })
    await response.arrayBuffer()
    return response.ok
  } catch {
    return false
  }
}

/** Below the range that outgoing connections take theirs from: a process that is killed finds its port free again. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const ports = new Set<number>()
  const worker = Number(process.env['VITEST_POOL_ID'] ?? 1)
  while (ports.size < count) {
    // What another worker finds free may be one of ours that is not bound yet.
    const port = 10_000 + ((worker - 1) % 4) * 2_500 + Math.floor(Math.random() * 2_500)
    if (await isFree(port)) ports.add(port)
  }
  return [...ports]
}
