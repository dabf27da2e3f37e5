/** The blocks of the package's README, which the tests compile and run. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

export interface Block {
  readonly language: string
  readonly text: string
}

const readme = readFileSync(join(import.meta.dirname, '../../saga/README.md'), 'utf8')

export const blocks: readonly Block[] = [...readme.matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(
  ([, language = '', text = '']) => ({ language, text }),
)

/** Programs, by the file that each is: its first line says it. */
export const programs: ReadonlyMap<string, string> = new Map(
  blocks
    .filter(({ language }) => language === 'ts' || language === 'js')
    .map(({ text }) => [/^\/\/ (\S+)\n/.exec(text)?.[1] ?? 'a program without a name', text]),
)

/** What the README says to install, in the order of its saying. */
export const toInstall: readonly string[] = [...readme.matchAll(/npm install (?:-D )?([^`\n]+)/g)].flatMap(
  ([, packages = '']) => packages.trim().split(' '),
)
