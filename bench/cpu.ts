/** The CPU time of this machine's processes, by what they are, from `/proc` (proc(5)). */
import { readdirSync, readFileSync } from 'node:fs'
import { head, row } from './table.ts'

/** Linux counts CPU time in hundredths of a second for everybody (`getconf CLK_TCK`). */
const msPerTick = 10

/** Milliseconds by name, of processes that live. */
export type CpuTimes = ReadonlyMap<string, number>

const servers: Readonly<Record<string, string>> = {
  postgres: 'PostgreSQL',
  java: 'Kafka',
  'beam.smp': 'RabbitMQ',
  'redis-server': 'Redis',
}

export function cpuTimes(): CpuTimes {
  const times = new Map<string, number>()
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const name = nameOf(pid)
      if (name !== null) times.set(name, (times.get(name) ?? 0) + ticksOf(pid) * msPerTick)
    } catch {
      // It has just ended.
    }
  }
  return times
}

function nameOf(pid: string): string | null {
  if (pid === String(process.pid)) return 'the client'
  const service = /services\/dist\/app\/main\.js\0([\w-]+)/.exec(readFileSync(`/proc/${pid}/cmdline`, 'utf8'))?.[1]
  return service ?? servers[readFileSync(`/proc/${pid}/comm`, 'utf8').trim()] ?? null
}

/** In user and kernel mode; the name in brackets may have spaces in it. */
function ticksOf(pid: string): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return Number(fields[11]) + Number(fields[12])
}

/** What was used since then. */
export function cpuSince(before: CpuTimes): CpuTimes {
  const now = [...cpuTimes()].map(([name, ms]) => [name, ms - (before.get(name) ?? 0)] as const)
  return new Map(now.filter(([, ms]) => ms > 0))
}

/** As they stand in a table, from the orchestrators to the client. */
const order = [
  'create-order',
  'complete-order',
  'order-orchestration',
  'user',
  'order',
  'payment',
  'timer',
  'stock',
  'shop-order',
  'shop-payment',
  'PostgreSQL',
  'Redis',
  'Kafka',
  'RabbitMQ',
  'the client',
]

/** Less is of servers that only stand by. */
const leastMs = 0.05

const share = (ms: number): string => (ms < leastMs ? '' : ms.toFixed(2))

/** @param rows CPU milliseconds of an order, by whose */
export function cpuTable(rows: readonly (readonly [name: string, cpu: CpuTimes])[]): void {
  const names = order.filter((name) => rows.some(([, cpu]) => (cpu.get(name) ?? 0) >= leastMs))
  head(['CPU, ms per order', ...names, 'all'])
  for (const [title, cpu] of rows) {
    const all = names.reduce((sum, name) => sum + (cpu.get(name) ?? 0), 0)
    row([title, ...names.map((name) => share(cpu.get(name) ?? 0)), all.toFixed(2)])
  }
}
