/** The six ways to run the same system: where its data is, how its messages move. The tests do not change. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { keepers, serviceNamed, type PeerName } from '../../services/app/registry.ts'
import { startPrivatePart, type PartName, type PrivatePart } from './private-part.ts'
import type { Place } from './tables.ts'
import type { Setting } from './system.ts'

export interface Host extends Setting {
  /** Where an audit finds the data. */
  readonly place: Place
  /** The servers that it stands on, of its own. */
  readonly parts: Readonly<Partial<Record<PartName, PrivatePart>>>
  remove(): Promise<void>
}

export const hosts = {
  embedded: { parts: [], apart: false },
  'SQLite and HTTP': { parts: [], apart: true },
  'PostgreSQL and HTTP': { parts: ['postgresql'], apart: true },
  'PostgreSQL and Kafka': { parts: ['postgresql', 'kafka'], apart: true },
  'PostgreSQL and RabbitMQ': { parts: ['postgresql', 'rabbitmq'], apart: true },
  'Redis and RabbitMQ': { parts: ['redis', 'rabbitmq'], apart: true },
} as const satisfies Record<string, { readonly parts: readonly PartName[]; readonly apart: boolean }>

export type HostName = keyof typeof hosts

/** Starts the servers that a host needs, in folders and on ports of their own. */
export async function openHost(name: HostName, orchestrators = 1): Promise<Host> {
  const { apart, parts: needed }: { readonly apart: boolean; readonly parts: readonly PartName[] } = hosts[name]
  const folder = mkdtempSync(join(tmpdir(), 'ordersaga-e2e-'))
  const parts: Partial<Record<PartName, PrivatePart>> = {}
  const remove = async (): Promise<void> => {
    await Promise.all(Object.values(parts).map((part) => part.remove()))
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    await Promise.all(needed.map(async (part) => void (parts[part] = await startPrivatePart(part))))
    const variables = variablesOn(folder, parts)
    return { apart, orchestrators, parts, place: placeOn(folder, parts), variables, remove }
  } catch (error) {
    await remove()
    throw error
  }
}

function placeOn(folder: string, { postgresql, redis }: Host['parts']): Place {
  const services: Place =
    postgresql === undefined ? { kind: 'sqlite', folder } : { kind: 'postgres', url: postgresql.url }
  return redis === undefined ? services : { ...services, redisUrl: redis.url }
}

/** By their documented names (docs/wire-contract.md 1.12, 4.7, 5.6). */
function variablesOn(folder: string, parts: Host['parts']): (service: PeerName) => Readonly<Record<string, string>> {
  const { postgresql, kafka, rabbitmq, redis } = parts
  return (service) => ({
    ORDERSAGA_DIR: folder,
    ...(postgresql && { DATABASE_URL: databaseUrl(postgresql.url, service) }),
    ...(kafka && { KAFKA_BOOTSTRAP_SERVERS: kafka.url }),
    ...(rabbitmq && { RABBITMQ_HOST: '127.0.0.1', RABBITMQ_PORT: String(rabbitmq.port) }),
    ...(redis &&
      serviceNamed(service).keeps === 'sagas' && { REDIS_HOST: '127.0.0.1', REDIS_PORT: String(redis.port) }),
  })
}

function databaseUrl(server: string, service: PeerName): string {
  const url = new URL(server)
  url.pathname = `/${keepers.find(({ name }) => name === service)?.database ?? ''}`
  return url.href
}
