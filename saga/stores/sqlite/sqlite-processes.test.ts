/** What other processes meet at a SQLite file, and what a process that is killed leaves in it. */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startOf } from '../sagas.testkit.ts'
import { sqliteStore } from './sqlite-store.ts'

let folder: string
let file: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ordersaga-store-'))
  file = join(folder, 'sagas.db')
})
afterEach(() => rmSync(folder, { recursive: true }))

/** Runs a script in a process of its own, with `sqliteStore` and the file at hand. */
function run(script: string): { lines: AsyncIterable<string>; kill(): void; ended: Promise<NodeJS.Signals | null> } {
  const program = `
    import { sqliteStore } from ${JSON.stringify(join(import.meta.dirname, 'sqlite-store.ts'))}
    const store = sqliteStore({ file: ${JSON.stringify(file)} })
    const print = (value) => process.stdout.write(JSON.stringify(value) + '\\n')
    ${script}`
  const flags = ['--conditions=source', '--import', 'tsx', '--input-type=module', '--eval', program]
  const child = spawn(process.execPath, flags, { cwd: import.meta.dirname, stdio: ['ignore', 'pipe', 'inherit'] })
  return {
    lines: createInterface({ input: child.stdout }),
    kill: () => void child.kill('SIGKILL'),
    ended: new Promise((resolve) => child.on('close', (_code, signal) => resolve(signal))),
  }
}

test('another process is told that the file is locked, and takes it once it is free', async () => {
  const store = sqliteStore({ file })
  await store.open()
  const { saga, ...start } = startOf()
  await store.commit({ starts: [{ saga, ...start }], moves: [] })
  const other = run(`
    print(await store.open().catch(({ name, code, message }) => ({ name, code, message })))
    const again = () => store.open().catch(({ code }) => code === 'locked' ? new Promise((r) => setImmediate(r)).then(again) : code)
    print(await again() ?? 'open')
    print((await store.load([${JSON.stringify(saga.id)}])).sagas.length)`)
  const said: unknown[] = []
  for await (const line of other.lines) {
    if (said.push(JSON.parse(line)) === 1) await store.close()
  }
  expect(said).toEqual([
    {
      name: 'StoreError',
      code: 'locked',
      message: `${file} is in use by another process. Stop it, or choose another folder.`,
    },
    'open',
    1,
  ])
})

test('a process that is killed while it writes loses nothing that it had acknowledged, again and again', async () => {
  const acknowledged: string[] = []
  const kills = 5
  for (let round = 0; round < kills; round++) {
    const writer = run(`
      const { startOf, moveOf } = await import(${JSON.stringify(join(import.meta.dirname, '../sagas.testkit.ts'))})
      await store.open()
      for (;;) {
        const starts = Array.from({ length: 20 }, () => startOf())
        await store.commit({ starts, moves: [] })
        await store.commit({ starts: [], moves: starts.map(({ saga }) => moveOf(saga)) })
        print(starts.map(({ saga }) => saga.id))
        await new Promise((resolve) => setImmediate(resolve))
      }`)
    let batches = 0
    for await (const line of writer.lines) {
      acknowledged.push(...(JSON.parse(line) as string[]))
      if (++batches === 15 + 7 * round) writer.kill()
    }
    expect(await writer.ended).toBe('SIGKILL')
  }

  const store = sqliteStore({ file })
  await store.open()
  expect(acknowledged.length).toBeGreaterThan(kills * 15 * 20)
  const { sagas: found } = await store.load(acknowledged)
  expect(found).toHaveLength(acknowledged.length)
  expect(found.filter(({ seq }) => seq !== 2)).toEqual([])
  // Nothing is half there either: each saga is as far as its history.
  for (let after: string | undefined; ;) {
    const page = await store.list({}, { limit: 1000, after })
    for (const { id, seq } of page.items) expect((await store.history(id)).at(-1)?.seq).toBe(seq)
    if (page.next === null) break
    after = page.next
  }
  await store.close()
})
