/**
 * The real parts that suites run against: where they are, and a fresh corner of them for each suite.
 *
 * Invariant: a suite whose part is missing is skipped by name on a developer's machine and fails in CI; it never passes
 * by not running.
 */
import { randomUUID } from 'node:crypto'
import { connect } from 'node:net'
import pg from 'pg'
import { describe, test } from 'vitest'

/** A server that suites run against: where it is said to be, and where `npm run services` starts it. */
interface Part {
  readonly said: string | undefined
  readonly local: string
  readonly answers: (url: string) => Promise<boolean>
}

const portOf = (name: string, usual: number): string => process.env[`ORDERSAGA_${name}_PORT`] ?? String(usual)

const parts = {
  postgres: {
    said: process.env['TEST_POSTGRES_URL'],
    local: `postgres://postgres:postgres@127.0.0.1:${portOf('POSTGRES', 54329)}/postgres`,
    answers: postgresAnswers,
  },
  redis: {
    said: process.env['TEST_REDIS_URL'],
    local: `redis://127.0.0.1:${portOf('REDIS', 63790)}`,
    answers: listens,
  },
  rabbitmq: {
    said: process.env['TEST_RABBITMQ_URL'],
    local: `amqp://guest:guest@127.0.0.1:${portOf('RABBITMQ', 56720)}`,
    answers: listens,
  },
  kafka: {
    said: process.env['TEST_KAFKA_BROKERS'],
    local: `127.0.0.1:${portOf('KAFKA', 19092)}`,
    answers: (brokers) => listens(`kafka://${brokers.split(',')[0] ?? ''}`),
  },
  temporal: {
    said: process.env['TEST_TEMPORAL_ADDRESS'],
    local: `127.0.0.1:${portOf('TEMPORAL', 17233)}`,
    answers: (address) => listens(`grpc://${address}`),
  },
  temporalTime: {
    said: process.env['TEST_TEMPORAL_TIME_ADDRESS'],
    local: `127.0.0.1:${portOf('TEMPORALTEST', 17333)}`,
    answers: (address) => listens(`grpc://${address}`),
  },
} satisfies Record<string, Part>

/** The server that the environment names, else the one that `npm run services` starts; null where neither is to be had. */
async function found({ said, local, answers }: Part): Promise<string | null> {
  if (said !== undefined && said !== '') return said
  return (await answers(local)) ? local : null
}

export const postgresUrl = (): Promise<string | null> => found(parts.postgres)
export const redisUrl = (): Promise<string | null> => found(parts.redis)
export const rabbitmqUrl = (): Promise<string | null> => found(parts.rabbitmq)
/** `host:port,host:port`, as `KAFKA_BOOTSTRAP_SERVERS` has it. */
export const kafkaBrokers = (): Promise<string | null> => found(parts.kafka)
/** `host:port`. */
export const temporalAddress = (): Promise<string | null> => found(parts.temporal)
/** `host:port` of the server whose time can be skipped: for all that use it at once. */
export const temporalTimeAddress = (): Promise<string | null> => found(parts.temporalTime)

async function postgresAnswers(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 3_000 })
  client.on('error', () => undefined)
  try {
    await client.connect()
    return true
  } catch {
    return false
  } finally {
    await client.end().catch(() => undefined)
  }
}

/** Whether something takes connections there; that it is the right thing, its suite finds out. */
function listens(url: string): Promise<boolean> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve) => {
    const socket = connect({ host: hostname, port: Number(port), timeout: 3_000 })
    const end = (answer: boolean) => () => {
      socket.destroy()
      resolve(answer)
    }
    socket.on('connect', end(true)).on('error', end(false)).on('timeout', end(false))
  })
}

/** A database of its own, so that suites neither see nor wait for each other; `drop` also cuts whoever is still in it. */
export async function freshDatabase(): Promise<{ url: string; drop(): Promise<void> }> {
  const server = await postgresUrl()
  if (server === null) throw new Error(`PostgreSQL does not answer: ${servers}`)
  const name = `test_${randomUUID().replaceAll('-', '')}`
  await run(server, `create database ${name}`)
  const url = new URL(server)
  url.pathname = `/${name}`
  return { url: url.href, drop: () => run(server, `drop database if exists ${name} with (force)`) }
}

async function run(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000 })
  await client.connect()
  try {
    await client.query(statement)
  } finally {
    await client.end()
  }
}

const servers =
  'start it with `npm run services`, or name a server of your own (TEST_POSTGRES_URL, TEST_REDIS_URL, TEST_RABBITMQ_URL, TEST_KAFKA_BROKERS, TEST_TEMPORAL_ADDRESS, TEST_TEMPORAL_TIME_ADDRESS)'

/**
 * Describes a suite on a real part.
 *
 * @param where null where the part is not to be had
 * @param remedy what to do about that
 * @example
 * suiteOn('PostgreSQL', await postgresUrl(), 'the PostgreSQL store', () => storeContract('postgres', open))
 */
export function suiteOn<Where>(
  part: string,
  where: Where | null,
  name: string,
  body: (where: Where) => void,
  remedy = servers,
): void {
  if (where !== null) {
    describe(name, () => {
      body(where)
    })
  } else if (process.env['CI'] === 'true') {
    test(name, () => {
      throw new Error(`${part} does not answer: ${remedy}`)
    })
  } else {
    describe.skip(`${name} (${part} does not answer: ${remedy})`, () => {
      test('the whole suite', () => undefined)
    })
  }
}
