/**
 * Which types a package's public signatures use, and whether a user can import each of them: read from the declarations
 * as the compiler writes them, one statement after the other, each beginning at the start of a line.
 */
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

interface Declarations {
  /** The text of each top-level declaration, by its name. */
  readonly declared: ReadonlyMap<string, string>
  /** Names from other files of the package: as they are called here, where they come from, and as they are called there. */
  readonly imported: ReadonlyMap<string, Place>
  /** Names that are exported from here, whether declared here or elsewhere. */
  readonly exported: ReadonlyMap<string, Place>
}

interface Place {
  readonly file: string
  readonly name: string
}

/**
 * Types that public signatures use and that no entry exports, as `file: name`.
 *
 * @param entries the `.d.ts` files of the entries
 */
export function unreachableTypes(entries: readonly string[]): readonly string[] {
  const files = new Map<string, Declarations>()
  const read = (file: string): Declarations => {
    const known = files.get(file) ?? readDeclarations(file)
    files.set(file, known)
    return known
  }
  const origin = ({ file, name }: Place): Place => {
    const { exported, imported, declared } = read(file)
    const elsewhere = declared.has(name) ? undefined : (imported.get(name) ?? exported.get(name))
    if (elsewhere === undefined) return { file, name }
    if (elsewhere.file === file && elsewhere.name === name) throw new Error(`${file} exports ${name}, and has none`)
    return origin(elsewhere)
  }
  const key = ({ file, name }: Place): string => `${file}: ${name}`

  const queue = entries.flatMap((file) => [...read(file).exported.keys()].map((name) => origin({ file, name })))
  const reachable = new Set(queue.map(key))
  const seen = new Set(reachable)
  for (let place = queue.pop(); place !== undefined; place = queue.pop())
    for (const name of namesIn(read(place.file), place.name)) {
      const used = origin({ file: place.file, name })
      if (seen.has(key(used))) continue
      seen.add(key(used))
      queue.push(used)
    }
  return [...seen].filter((each) => !reachable.has(each)).toSorted()
}

/** Names of this file, or imported from the package, that a declaration uses. */
function namesIn({ declared, imported }: Declarations, name: string): readonly string[] {
  const words = new Set((declared.get(name) ?? '').match(/(?<![.\w])[A-Z_a-z]\w*(?!\??:)/g) ?? [])
  return [...words].filter((word) => word !== name && (declared.has(word) || imported.has(word)))
}

function readDeclarations(file: string): Declarations {
  const declared = new Map<string, string>()
  const imported = new Map<string, Place>()
  const exported = new Map<string, Place>()
  for (const statement of statementsOf(readFileSync(file, 'utf8'))) {
    const list = /^(import|export) (?:type )?\{([^}]*)\}(?: from '(\.[^']+)')?/.exec(statement)
    if (list !== null) {
      const [, verb, names = '', from] = list
      const there = from === undefined ? file : join(dirname(file), from.replace(/\.[jt]s$/, '.d.ts'))
      for (const each of names.split(',').map((text) => text.trim().replace(/^type /, ''))) {
        const [name = '', alias = name] = each.split(' as ')
        if (name !== '' && (verb === 'export' || from !== undefined))
          (verb === 'export' ? exported : imported).set(alias, { file: there, name })
      }
      continue
    }
    const [, isExported, name] =
      /^(export )?(?:declare )?(?:abstract )?(?:const|function|class|interface|type) (\w+)/.exec(statement) ?? []
    if (name === undefined) continue
    declared.set(name, `${declared.get(name) ?? ''}${statement}\n`) // overloads
    if (isExported !== undefined) exported.set(name, { file, name })
  }
  return { declared, imported, exported }
}

/** Without comments and texts in quotes, except where a module is named. */
function statementsOf(text: string): readonly string[] {
  const bare = text
    .replaceAll(/\/\*.*?\*\/|^\s*\/\/.*$/gms, '')
    .replaceAll('"', "'")
    .replaceAll(/(?<!from )'[^'\n]*'/g, "''")
  return bare.split(/\n(?=\S)(?![)}\]>&|])/)
}
