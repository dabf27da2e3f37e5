import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { unreachableTypes } from './declarations.ts'

const folder = mkdtempSync(join(tmpdir(), 'ordersaga-declarations-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('a type that a signature uses, however far away, and that no entry exports is found', () => {
  const files = {
    'entry.d.ts': [
      "import type { Far, Known as Renamed } from './inner.js';",
      "export { type Shown } from './inner.js';",
      'interface Local {}',
      '/** Of a Comment, and of Unused. */',
      'export declare function open(local: Local, kept: Renamed): Far;',
    ],
    'inner.d.ts': [
      'interface Farther { readonly known: Known; }',
      'export interface Far { readonly farther: Farther; }',
      'export interface Known {}',
      'export interface Shown {}',
      'interface Unused {}',
      'export {};',
    ],
    'second.d.ts': ["export type { Known } from './inner.js';"],
  }
  for (const [file, lines] of Object.entries(files)) writeFileSync(join(folder, file), `${lines.join('\n')}\n`)
  const found = unreachableTypes([join(folder, 'entry.d.ts'), join(folder, 'second.d.ts')])
  expect(found.map((each) => each.replace(`${folder}/`, ''))).toEqual([
    'entry.d.ts: Local',
    'inner.d.ts: Far',
    'inner.d.ts: Farther',
  ])
})
