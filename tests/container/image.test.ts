/** The image that the Dockerfile describes, built and run as far as that goes without an engine. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmod, chown, mkdir, mkdtemp, readFile, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { validate } from 'dockerfile-utils'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readConfig } from '../../services/app/config.ts'
import { services, withoutTemporal } from '../../services/app/registry.ts'
import { burger } from '../kit/client.ts'
import { freePorts } from '../kit/system.ts'
import { until } from '../kit/until.ts'
import { openDockerfile, type Image } from './dockerfile.ts'

const repository = join(import.meta.dirname, '../..')
/** By their variables. */
const ports = Object.fromEntries(services.map(({ port }) => [port.variable, port.usual]))
/** Of those that run where there is no Temporal. */
const running = new Set(withoutTemporal.map(({ port }) => port.usual))

/** `node` in the base image: neither owns what is in it, nor may write there. */
const nodeUser = 1000

let work = ''
let build: Awaited<ReturnType<typeof openDockerfile>>
let image: Image
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'ordersaga-image-'))
  await chmod(work, 0o755)
  build = await openDockerfile(repository, work)
  image = await build()
}, 300_000)
afterAll(() => rm(work, { recursive: true, force: true }))

test('a parser finds nothing wrong with the Dockerfile', async () => {
  expect(validate(await readFile(join(repository, 'Dockerfile'), 'utf8'))).toEqual([])
})

test('the image stands on Node 22, pinned by its tag', () => {
  expect(image.base).toMatch(/^node:22\.\d+\.\d+-bookworm-slim$/)
})

test('the image holds what runs, and nothing of the build', async () => {
  const app = join(image.root, image.workdir)
  const files = await readdir(app, { recursive: true })
  const own = files.filter((path) => !path.includes('node_modules'))
  expect(own.filter((path) => !/^(saga|services)(\/(dist|dist\/.*|package\.json))?$/.test(path)).toSorted()).toEqual([
    'package-lock.json',
    'package.json',
  ])
  expect(own.filter((path) => /\.(test|contract|testkit)\.|(^|\/)testing\//.test(path))).toEqual([])
  const installed = await readdir(join(app, 'node_modules'))
  expect(installed).toEqual(expect.arrayContaining(['fastify', 'kafkajs', 'libsql', 'ordersaga', 'pg']))
  expect(
    installed.filter((name) => ['typescript', 'vitest', 'tsx', 'esbuild', 'oxlint', 'knip'].includes(name)),
  ).toEqual([])
})

test('it runs as node, who owns the folder of the data and nothing else', () => {
  expect(image.user).toBe('node')
  expect(image.environment['ORDERSAGA_DIR']).toBe('/data')
  expect(image.notRun).toEqual(['mkdir /data && chown node:node /data'])
})

test('it names the ports that its services have unless told otherwise', () => {
  expect(image.ports).toEqual(Object.values(ports))
})

describe('built with the arguments that the README passes, as the documents of the Order Orchestration do', () => {
  const told = {
    RABBITMQ_HOST: 'rabbitmq',
    RABBITMQ_PORT: '5672',
    RABBITMQ_USER: 'guest',
    RABBITMQ_PASSWORD: 'guest',
    REDIS_HOST: 'redis',
    REDIS_PORT: '6379',
    REDIS_DB: '0',
    AUTHERIZATION_SERVER_HOST: 'http://auth-service',
    AUTHERIZATION_SERVER_PORT: '8086',
  }

  test('it is the same image, which runs the Order Orchestration and knows its servers', async () => {
    const { command, environment, ...orchestration } = await build(told)
    expect(command).toEqual(['order-orchestration'])
    expect(environment).toEqual({ ...image.environment, ...told, HOST: '0.0.0.0', TRUSTED_NETWORK: 'true' })
    expect({ ...orchestration, command: image.command, environment: image.environment }).toEqual(image)
    expect(readConfig(environment)).toMatchObject({
      RABBITMQ_HOST: 'rabbitmq',
      REDIS_PORT: 6379,
      namesAuthServer: true,
    })
  })

  test('a part of them does: what is not said is as it is without', async () => {
    const { environment } = await build({ AUTHERIZATION_SERVER_HOST: 'http://auth-service' })
    const { RABBITMQ_HOST, RABBITMQ_PORT, REDIS_HOST, REDIS_DB } = readConfig(environment)
    expect([RABBITMQ_HOST, RABBITMQ_PORT, REDIS_HOST, REDIS_DB]).toEqual([undefined, 5672, undefined, 0])
  })

  test('without an auth server it is the image of all services, told nothing', async () => {
    const { AUTHERIZATION_SERVER_HOST: _host, ...rest } = told
    expect(await build(rest)).toEqual(image)
  })

  test('they are those of the README', async () => {
    const readme = await readFile(join(repository, 'README.md'), 'utf8')
    const passed = [...readme.matchAll(/--build-arg (\w+)=(\S+)/g)].map(([, name, value]) => [name, value] as const)
    expect(Object.fromEntries(passed)).toEqual(told)
  })
})

describe('its process', () => {
  let container: Container
  beforeAll(async () => {
    container = await run(image)
  }, 120_000)
  afterAll(() => container.remove())

  test('runs every service, and each is ready', async () => {
    const ready = container.urls.map(async (url) => (await fetch(`${url}/health/ready`)).status)
    expect(await Promise.all(ready)).toEqual(withoutTemporal.map(() => 200))
  })

  test('completes an order, with its data in the folder of the data', async () => {
    const sagas = container.urls[withoutTemporal.findIndex(({ name }) => name === 'create-order')] ?? ''
    const body = JSON.stringify(burger('cust_123'))
    const headers = { 'content-type': 'application/json' }
    const answer = await fetch(`${sagas}/api/orders`, { method: 'POST', headers, body })
    const { saga_id } = (await answer.json()) as { readonly saga_id: string }
    await until('the order is COMPLETED', 30_000, async () => {
      const saga = (await (await fetch(`${sagas}/api/sagas/${saga_id}`)).json()) as { readonly status: string }
      return saga.status === 'COMPLETED'
    })
    expect(await readdir(container.data)).toEqual(expect.arrayContaining(['create-order-saga.db', 'payment.db']))
  })

  test('is healthy while it runs, and not any more once SIGTERM has ended it with exit code 0', async () => {
    expect(await container.health()).toBe(0)
    expect(await container.stop()).toBe(0)
    expect(await container.health()).toBe(1)
  })
})

interface Container {
  readonly urls: readonly string[]
  readonly data: string
  /** The exit code of the image's health check. */
  health(): Promise<number | null>
  /** Asks it to end; its exit code. */
  stop(): Promise<number | null>
  remove(): Promise<void>
}

/** Starts what the image says, with nothing but what it says; resolves when the services are ready. */
async function run({ root, workdir, environment, entrypoint, command, healthcheck }: Image): Promise<Container> {
  const data = await ownFolder(join(root, 'data'))
  const free = await freePorts(Object.keys(ports).length)
  const moved = new Map(Object.values(ports).map((port, index) => [String(port), String(free[index])]))
  const env = {
    PATH: process.env['PATH'],
    ...environment,
    ORDERSAGA_DIR: data,
    ...Object.fromEntries(Object.entries(ports).map(([name, port]) => [name, moved.get(String(port))])),
  }
  const start = (words: readonly string[]): ChildProcess => {
    const [program = '', ...rest] = words
    return spawn(program, rest, { cwd: join(root, workdir), env, stdio: ['ignore', 'pipe', 'pipe'], ...asNode() })
  }
  const child = start([...entrypoint, ...command])
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => void (output += String(chunk)))
  const ended = once(child, 'close').then(([code]) => code as number | null)
  const urls = Object.values(ports).flatMap((port, index) =>
    running.has(port) ? [`http://127.0.0.1:${free[index]}`] : [],
  )
  await until('the services are ready', 90_000, () => allReady(urls, child, () => output))
  return {
    urls,
    data,
    async health() {
      // The check knows the image's own ports, which another program of this machine may have.
      const check = start(healthcheck.map((word) => word.replaceAll(/\d{4}/g, (port) => moved.get(port) ?? port)))
      const [code] = await once(check, 'close')
      return code as number | null
    },
    stop() {
      child.kill('SIGTERM')
      return ended
    },
    async remove() {
      child.kill('SIGKILL')
      await ended
    },
  }
}

async function allReady(urls: readonly string[], child: ChildProcess, output: () => string): Promise<boolean> {
  if (child.exitCode !== null) throw new Error(`it ended with exit code ${child.exitCode}:\n${output()}`)
  const ready = urls.map((url) =>
    fetch(`${url}/health/ready`).then(
      ({ ok }) => ok,
      () => false,
    ),
  )
  return (await Promise.all(ready)).every(Boolean)
}

async function ownFolder(folder: string): Promise<string> {
  await mkdir(folder)
  if (process.getuid?.() === 0) await chown(folder, nodeUser, nodeUser)
  return folder
}

/** Only root can become somebody else. */
const asNode = (): { uid?: number; gid?: number } => (process.getuid?.() === 0 ? { uid: nodeUser, gid: nodeUser } : {})
