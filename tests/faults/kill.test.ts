import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { killContract } from './kill.contract.ts'

killContract('SQLite', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ordersaga-kill-'))
  return { kind: 'sqlite', folder, remove: async () => rmSync(folder, { recursive: true, force: true }) }
})
