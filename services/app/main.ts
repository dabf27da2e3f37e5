/**
 * Starts the services: `first-run` (all in one process, with orders to look at), `apart` (the same, each in a process
 * of its own), `all`, or one by its name.
 *
 * The one place that reads the environment and ends the process. What a person can mend gives one line and exit code 2.
 */
import { StoreError } from 'ordersaga/store'
import { ApartError, startApart, startedMessage } from './apart.ts'
import { ConfigError, forFirstLook, readConfig, type Config } from './config.ts'
import { DatabaseError } from '../shared/database/errors.ts'
import { firstRun } from './first-run.ts'
import { shopRun } from './first-run-shop.ts'
import { ListenError } from '../shared/http/listen.ts'
import { createLog } from '../shared/log/log.ts'
import { isServiceName, serviceNamed, serviceNames } from './registry.ts'
import { startAll, startOne, type System } from './system.ts'

const print = (line: string): void => void process.stdout.write(`${line}\n`)

async function main(command: string): Promise<void> {
  // What customers ordered and owe is for nobody else on this machine: folders 0700, files 0600.
  process.umask(0o077)
  process.once('disconnect', () => (running === null ? process.exit(1) : stop(running)))
  const environment = command === 'first-run' || command === 'apart' ? forFirstLook(process.env) : process.env
  const config = readConfig(environment)
  if (command === 'apart') return runApart(config, environment)
  const log = createLog(
    'ordersaga',
    config.LOG_LEVEL ?? (command === 'first-run' ? 'error' : 'info'),
    command === 'first-run',
  )
  const system = await start(command, config, log)
  stopOnSignal(system)
  process.send?.(startedMessage)
  if (command === 'first-run') await show(system, config)
}

function start(command: string, config: Config, log: ReturnType<typeof createLog>): Promise<System> {
  if (command === 'first-run' || command === 'all') return startAll(config, log)
  if (isServiceName(command)) return startOne(command, config, log)
  throw new ConfigError(`'${command}' is not a service; use first-run, apart, all, ${serviceNames.join(', ')}.`)
}

async function runApart(config: Config, environment: Parameters<typeof startApart>[1]): Promise<void> {
  const program = [...process.execArgv, process.argv[1] ?? '']
  const system = startApart(config, environment, program, (line) => process.stderr.write(`${line}\n`))
  stopOnSignal(system)
  try {
    await Promise.race([system.failed, system.ready.then(() => show(system, config))])
    await system.failed
  } catch (error) {
    await system.close()
    throw error
  }
}

async function show(system: System, config: Config): Promise<void> {
  print('ordersaga: order flows that finish or undo themselves')
  print(`Data is in ${config.DATABASE_URL === undefined ? config.ORDERSAGA_DIR : 'PostgreSQL'}; running are:`)
  const titled = system.services.map(({ name, url }) => ({ title: serviceNamed(name).title, url }))
  const widest = Math.max(...titled.map(({ title }) => title.length))
  for (const { title, url } of titled) print(`  ${title.padEnd(widest)} ${url}`)
  await firstRun(
    {
      sagas: system.url('create-order'),
      deliveries: system.url('gateway'),
      payment: system.url('payment'),
      order: system.url('order'),
    },
    print,
  )
  print('')
  await shopRun(
    { shop: system.url('order-orchestration'), stock: system.url('stock'), auth: system.url('auth') },
    print,
  )
  print('')
  showTemporal(system, config)
  print('Everything stays up; Ctrl-C stops it.')
}

/** How to try the sagas that need a server of Temporal's. */
function showTemporal(system: System, { TEMPORAL_GRPC_ENDPOINT: endpoint }: Config): void {
  if (endpoint === undefined) {
    print('Accept Order and Complete Order also run on Temporal. With a server of it, such as this one starts:')
    print('  bash scripts/services.sh start temporal   # or: temporal server start-dev, on port 7233')
    return print('  TEMPORAL_GRPC_ENDPOINT=127.0.0.1:17233 npm start')
  }
  const json = "-H 'Content-Type: application/json'"
  const body = `-d '{"order_id":"an-order-id","runner_id":"runner_123"}'`
  print(
    `Sagas on Temporal, at ${endpoint}: accept an order that is CREATED, complete one that is ON_THE_WAY (above is one).`,
  )
  print(`  curl -X POST ${system.url('accept-order-trigger')}/acceptOrder ${json} ${body}`)
  print(`  curl -X POST ${system.url('complete-order-trigger')}/triggerCompleteOrderWorkflow ${json} ${body}`)
  print(`  curl ${system.url('complete-order-trigger')}/triggerCompleteOrderWorkflow/an-order-id`)
}

/** What runs here; null until it does. */
let running: System | null = null

/** When it was asked to stop, Unix milliseconds. */
let stoppingSince: number | null = null

/** One Ctrl-C may arrive twice, from the terminal and through npm; only one that comes later means "at once". */
const sameSignalMs = 1000

function stopOnSignal(system: System): void {
  running = system
  process.on('SIGINT', () => stop(system))
  process.on('SIGTERM', () => stop(system))
  process.stdout.on('error', () => stop(system)) // nobody reads what is printed any more, as after `| head`
}

function stop(system: System): void {
  if (stoppingSince !== null && Date.now() - stoppingSince > sameSignalMs) process.exit(1)
  if (stoppingSince !== null) return
  stoppingSince = Date.now()
  system.close().then(() => process.exit(0), fail)
}

/** One line for what a person can mend, or was told of before; the whole error for what is ours. */
function fail(error: unknown): never {
  const isMendable =
    error instanceof ConfigError ||
    error instanceof ListenError ||
    error instanceof DatabaseError ||
    error instanceof StoreError ||
    (error instanceof ApartError && error.isMendable)
  process.stderr.write(
    isMendable || error instanceof ApartError
      ? `ordersaga: ${error.message.replaceAll('\n', ' ')}\n`
      : `ordersaga failed: ${String((error as Error).stack ?? error)}\n`,
  )
  process.exit(isMendable ? 2 : 1)
}

main(process.argv[2] ?? 'first-run').catch((error: unknown) => {
  // Stopped in the middle of the first orders: they go on at the next start.
  if (stoppingSince === null) fail(error)
})
