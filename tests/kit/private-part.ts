/** A server of a test's own, in a temporary folder and on ports of its own: one that may be killed and restarted at will. */
import { execFile } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { isFree } from './free-port.ts'

const run = promisify(execFile)
const script = fileURLToPath(import.meta.resolve('../../scripts/services.sh'))

export type PartName = 'postgresql' | 'redis' | 'rabbitmq' | 'kafka' | 'temporal'

const urls: Readonly<Record<PartName, (port: number) => string>> = {
  postgresql: (port) => `postgres://postgres@127.0.0.1:${port}/postgres`,
  redis: (port) => `redis://127.0.0.1:${port}`,
  rabbitmq: (port) => `amqp://guest:guest@127.0.0.1:${port}`,
  kafka: (port) => `127.0.0.1:${port}`,
  temporal: (port) => `127.0.0.1:${port}`,
}

const portVariables: Readonly<Record<PartName, string>> = {
  postgresql: 'ORDERSAGA_POSTGRES_PORT',
  redis: 'ORDERSAGA_REDIS_PORT',
  rabbitmq: 'ORDERSAGA_RABBITMQ_PORT',
  kafka: 'ORDERSAGA_KAFKA_PORT',
  temporal: 'ORDERSAGA_TEMPORAL_PORT',
}

export interface PrivatePart {
  /** As the clients of the part take it; the same after a restart. */
  readonly url: string
  readonly port: number
  /** SIGKILL: nothing is said to anyone. Resolves when the process is gone. */
  kill(): Promise<void>
  /** Ends it in order. */
  stop(): Promise<void>
  /** Starts it again on the same data; resolves when it serves. */
  start(): Promise<void>
  /** Kills it where it runs, and removes its data. */
  remove(): Promise<void>
}

/** The part itself where its programs are on this machine, else null: what `suiteOn` asks. */
export async function installedPart(part: PartName): Promise<PartName | null> {
  try {
    await run('bash', [script, 'installed', part])
    return part
  } catch {
    return null
  }
}

/**
 * @param started false for one that is to come later: call `start`
 * @param within where its folder is made; among the temporary ones where none is given
 * @throws Error where the part's programs are not installed and cannot be
 */
export async function startPrivatePart(
  part: PartName,
  { started = true, within = tmpdir() } = {},
): Promise<PrivatePart> {
  const folder = mkdtempSync(join(within, `ordersaga-${part}-`))
  chmodSync(folder, 0o755) // some parts run under an account of their own
  const port = await freePorts()
  const variables = { ...process.env, ORDERSAGA_PARTS: folder, [portVariables[part]]: String(port) }
  const control = async (verb: string): Promise<void> => {
    await run('bash', [script, verb, part], { env: variables, timeout: 180_000 })
  }
  const server: PrivatePart = {
    url: urls[part](port),
    port,
    kill: () => control('kill'),
    stop: () => control('stop'),
    start: () => control('start'),
    async remove() {
      await control('kill')
      rmSync(folder, { recursive: true, force: true })
    },
  }
  if (started) await server.start()
  return server
}

/** A port whose neighbour is free too: Kafka and RabbitMQ take the next one as well. */
async function freePorts(): Promise<number> {
  for (;;) {
    // Below the range that outgoing connections take theirs from, which could take one between two runs of a server.
    const worker = Number(process.env['VITEST_POOL_ID'] ?? 1)
    const port = 20_000 + ((worker - 1) % 4) * 2_500 + Math.floor(Math.random() * 2_500)
    if ((await isFree(port)) && (await isFree(port + 1))) return port
  }
}
