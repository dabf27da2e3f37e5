import { readFile } from 'node:fs/promises'
import { expect, test, vi } from 'vitest'
import { services } from '../../services/app/registry.ts'

const read = (path: string): Promise<string> => readFile(new URL(path, import.meta.url), 'utf8')

test("the README's saga is the one that is compiled and run here, and undoes itself as it says", async () => {
  const said = vi.spyOn(console, 'log').mockImplementation(() => undefined)
  await import('./buy.ts')
  expect(said.mock.calls).toEqual([['COMPENSATED', { step: 'pay', reason: 'the card was declined' }]])
  expect(await read('../../README.md')).toContain(`\`\`\`ts\n${await read('./buy.ts')}\`\`\``)
})

test("the README's table of services has them all, as the registry says", async () => {
  const readme = await read('../../README.md')
  const rows = [...readme.matchAll(/^\| (\S+) +\| (\d+) \| (.*?) +\|$/gm)]
  expect(rows.map(([, name, port, does]) => [name, Number(port), does])).toEqual(
    services.map(({ name, port, does }) => [name, port.usual, does]),
  )
})

test("the README's two commands are scripts of this project", async () => {
  const { scripts } = JSON.parse(await read('../../package.json')) as { scripts: Record<string, string> }
  const readme = await read('../../README.md')
  for (const command of ['npm ci && npm start', 'npm ci && npm test']) expect(readme).toContain(command)
  expect(Object.keys(scripts)).toEqual(expect.arrayContaining(['start', 'test', 'services', 'bench', 'check']))
})
