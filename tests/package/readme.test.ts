/** That the README's TypeScript is what is type-checked in this workspace; `package.test.ts` runs it, and the JavaScript. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { blocks, programs } from './readme.ts'

const examples = join(import.meta.dirname, 'examples')

test("every TypeScript program of the package's README is an example, and every example is in it", () => {
  const files = readdirSync(examples).map((file) => [file, `// ${file}\n${readFileSync(join(examples, file), 'utf8')}`])
  const typed = [...programs].filter(([file]) => file.endsWith('.ts'))
  expect(Object.fromEntries(typed)).toEqual(Object.fromEntries(files))
})

test('every other block is an installation, a request, or its answer', () => {
  const others = blocks.filter(({ language }) => language !== 'ts' && language !== 'js')
  expect(others.map(({ language, text }) => [language, text.split(' ')[0]])).toEqual([
    ['sh', 'npm'],
    ['sh', 'curl'],
    ['json', '{'],
  ])
})
