import { checkRollout } from 'ordersaga/engine/rollout'
import { sqliteStore } from 'ordersaga/stores/sqlite'
import { definitions } from './pickup.ts'

const store = sqliteStore({ file: 'sagas.db' }) // of production, while no process uses the file; no saga is changed
const { safe, lines } = await checkRollout({ store, definitions })
for (const { definition, version, step, sagas, verdict, why } of lines)
  console.log(`${sagas} of ${definition} version ${version} at ${step}: ${verdict} ${why}`)
await store.close()
process.exitCode = safe ? 0 : 1
