/** `npm run apart` as a user has it: started for real, stopped in every way, and nothing left of it. */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { services, withoutTemporal } from '../../services/app/registry.ts'
import { newFolder } from '../../services/shared/testing/ask.ts'
import { call } from '../../services/shared/testing/call.ts'
import { builtMain } from '../kit/built.ts'
import { startChild, type Child } from '../kit/child.ts'
import { isFree } from '../kit/free-port.ts'
import { freePorts } from '../kit/system.ts'

/** What `npm run apart` runs; what is built of it starts sooner. */
const sources = join(import.meta.dirname, '../../services/app/main.ts')
const patience = { timeout: 120_000 }
vi.setConfig({ testTimeout: 300_000 })
/** Those that run where no Temporal is named. */
const names = withoutTemporal.map(({ name }) => name)

let ports: readonly number[]
let apart: Child
let lines: string[]

beforeEach(async () => {
  ports = await freePorts(services.length)
  lines = []
})
afterEach(() => apart.kill())

/** With a data folder of its own. */
function startApart(at: readonly number[], output: string[], main = builtMain): Child {
  const chosen = Object.fromEntries(services.map(({ port }, index) => [port.variable, String(at[index])]))
  const variables = { ...chosen, ORDERSAGA_DIR: join(newFolder(), 'data') }
  return startChild(main, ['apart'], variables, (line) => output.push(line))
}

const urlOf = (index: number): string => `http://127.0.0.1:${ports[index] ?? 0}`

async function ready(): Promise<void> {
  const last = 'Everything stays up; Ctrl-C stops it.'
  await expect.poll(() => (lines.includes(last) ? last : apart.tail()), patience).toBe(last)
}

async function exits(child: Child, code: number): Promise<void> {
  await expect.poll(() => child.ended(), patience).toEqual({ code, signal: null })
}

/** The process ids of the services, by their names. */
function processes(main = builtMain): Readonly<Record<string, number>> {
  const all = execFileSync('ps', ['-A', '-o', 'pid=,args='], { encoding: 'utf8' })
  const ours = all.matchAll(new RegExp(`^ *(\\d+) .* ${main} (${names.join('|')})$`, 'gm'))
  return Object.fromEntries([...ours].map(([, pid, name = '']) => [name, Number(pid)]))
}

test('every service is a process of its own, orders run through them, and Ctrl-C ends them all', async () => {
  apart = startApart(ports, lines, sources)
  await ready()
  expect(Object.keys(processes(sources)).toSorted()).toEqual(names.toSorted())
  for (const [index, { title, keeps }] of services.entries()) {
    if (keeps === 'workflows') continue
    expect(lines).toContainEqual(expect.stringMatching(new RegExp(`^ +${title} +${urlOf(index)}$`)))
    expect((await call('GET', `${urlOf(index)}/health/ready`)).status).toBe(200)
  }
  expect(lines).toContainEqual(expect.stringMatching(/^ {3}COMPLETED after/))
  expect(lines).toContainEqual(expect.stringMatching(/^ {3}COMPENSATED after/))
  expect(lines.filter((line) => line.startsWith('{'))).toEqual([])

  apart.signal('SIGINT')
  await exits(apart, 0)
  expect(await Promise.all(ports.map(isFree))).toEqual(ports.map(() => true))
})

test('a service that cannot start is named with its reason, and those that have started are stopped', async () => {
  apart = startApart(ports, lines)
  const [taken = 0] = ports
  const [first, second] = services
  await expect.poll(() => isFree(taken), patience).toBe(false)
  const others = [...(await freePorts(1)), taken, ...(await freePorts(services.length - 2))]
  const printed: string[] = []
  await exits(startApart(others, printed), 2)
  expect(printed).toEqual([
    `ordersaga: ${second.name} did not start: port ${taken} is in use: stop the other program or set ${second.port.variable} to another port`,
  ])
  expect(await isFree(others[0] ?? 0), `the port of ${first.name}`).toBe(true)
})

test('a service that ends by itself is named, and the others are stopped', async () => {
  apart = startApart(ports, lines)
  await ready()
  process.kill(processes()[services[1].name] ?? expect.fail(apart.tail()), 'SIGKILL')
  await exits(apart, 1)
  expect(lines.at(-1)).toBe(`ordersaga: ${services[1].name} ended by itself: SIGKILL`)
  expect(await Promise.all(ports.map(isFree))).toEqual(ports.map(() => true))
})

test('killed, it leaves no service behind', async () => {
  apart = startApart(ports, lines)
  await ready()
  await apart.kill()
  await expect.poll(() => processes(), patience).toEqual({})
})

test('stopped while services start, it ends with all that have started', async () => {
  apart = startApart(ports, lines)
  await expect.poll(() => Object.keys(processes()), patience).toContain(services[1].name)
  apart.signal('SIGTERM')
  await exits(apart, 0)
  expect(processes()).toEqual({})
  expect(lines).toEqual([])
})
