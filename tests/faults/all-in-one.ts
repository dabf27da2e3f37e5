/** All services in one process of its own, as `npm run service -- all` starts them. */
import { fileURLToPath } from 'node:url'
import { services } from '../../services/app/registry.ts'
import { startChild, type Child } from '../kit/child.ts'
import type { Place } from '../kit/tables.ts'
import { until } from '../kit/until.ts'

export interface AllInOne extends Child {
  /** Where the Create Order saga listens, once it does. @throws Error with its output where it ended instead */
  ready(): Promise<string>
}

const main = fileURLToPath(import.meta.resolve('../../services/app/main.ts'))

const startMs = 60_000

export function startAllInOne(place: Place): AllInOne {
  let url: string | null = null
  const ports = Object.fromEntries(services.map(({ port }) => [port.variable, '0']))
  const data: Record<string, string> =
    place.kind === 'sqlite' ? { ORDERSAGA_DIR: place.folder } : { DATABASE_URL: place.url }
  const child = startChild(main, ['all'], { ...ports, ...data }, (line) => {
    if (url === null && line.includes('"listening"')) url = (JSON.parse(line) as { url: string }).url
  })
  return {
    ...child,
    async ready() {
      await until('the services listen', startMs, () => url !== null || child.ended() !== null, child.tail)
      if (url === null) throw new Error(`the services ended without listening:\n${child.tail()}`)
      return url
    },
  }
}
