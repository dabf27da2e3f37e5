/**
 * Measures, and prints tables in Markdown.
 *
 *   npm run bench [-- quick | -- stores | -- flat | -- systems | -- systems-quick]
 */
import { benchEngine } from './engine.ts'
import { print } from './table.ts'
import { benchSystems } from './systems.ts'

const modes: Readonly<Record<string, () => Promise<void>>> = {
  async all() {
    await benchEngine('all', false)
    await benchSystems(false)
  },
  async quick() {
    await benchEngine('all', true)
    await benchSystems(true)
  },
  stores: () => benchEngine('stores', false),
  flat: () => benchEngine('flat', false),
  systems: () => benchSystems(false),
  'systems-quick': () => benchSystems(true),
}

const chosen = process.argv[2] ?? 'all'
const mode = modes[chosen]
if (mode === undefined) {
  print(`'${chosen}' is not measured; use one of ${Object.keys(modes).join(', ')}.`)
  process.exitCode = 2
} else await mode()
