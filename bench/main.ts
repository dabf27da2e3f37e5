/**
 * Measures, and prints tables in Markdown.
 *
 *   npm run bench [-- quick | -- stores | -- flat | -- systems | -- systems-quick | -- gateway | -- auth | -- auth-quick |
 *                  -- health | -- health-quick | -- stock | -- stock-quick | -- shop | -- shop-quick | -- temporal |
 *                  -- temporal-quick]
 */
import { setup as build } from '../tests/kit/built.ts'
import { benchAuth } from './auth.ts'
import { benchEngine } from './engine.ts'
import { benchGateway } from './gateway.ts'
import { benchHealth } from './health.ts'
import { benchShop } from './shop.ts'
import { benchStock } from './stock.ts'
import { benchSystems } from './systems.ts'
import { benchTemporal } from './temporal.ts'
import { print } from './table.ts'

const modes: Readonly<Record<string, () => Promise<void>>> = {
  async all() {
    await benchEngine('all', false)
    await benchSystems(false)
    await benchGateway(false)
    await benchAuth(false)
    await benchHealth(false)
    await benchStock(false)
    await benchShop(false)
    await benchTemporal(false)
  },
  async quick() {
    await benchEngine('all', true)
    await benchSystems(true)
    await benchGateway(true)
    await benchAuth(true)
    await benchHealth(true)
    await benchStock(true)
    await benchShop(true)
    await benchTemporal(true)
  },
  stores: () => benchEngine('stores', false),
  flat: () => benchEngine('flat', false),
  systems: () => benchSystems(false),
  'systems-quick': () => benchSystems(true),
  gateway: () => benchGateway(false),
  auth: () => benchAuth(false),
  'auth-quick': () => benchAuth(true),
  health: () => benchHealth(false),
  'health-quick': () => benchHealth(true),
  temporal: () => benchTemporal(false),
  'temporal-quick': () => benchTemporal(true),
  stock: () => benchStock(false),
  'stock-quick': () => benchStock(true),
  shop: () => benchShop(false),
  'shop-quick': () => benchShop(true),
}

const chosen = process.argv[2] ?? 'all'
const mode = modes[chosen]
if (mode === undefined) {
  print(`'${chosen}' is not measured; use one of ${Object.keys(modes).join(', ')}.`)
  process.exitCode = 2
} else {
  await build()
  await mode()
}
