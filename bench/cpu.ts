/** The CPU time of this machine's processes, by what they are, from `/proc` (proc(5)). */
import { readdirSync, readFileSync } from 'node:fs'

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
  const service = /services\/app\/main\.ts\0([\w-]+)/.exec(readFileSync(`/proc/${pid}/cmdline`, 'utf8'))?.[1]
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
