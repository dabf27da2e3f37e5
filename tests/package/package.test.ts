/**
 * The package as a stranger has it: packed, installed in an empty project with what its README says, run by each version of
 * Node that it is for. It needs the npm registry (Node itself comes from there, too).
 */
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { publint } from 'publint'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { freshDatabase, kafkaBrokers, postgresUrl, rabbitmqUrl, suiteOn, temporalAddress } from '../kit/parts.ts'
import { freePorts } from '../kit/system.ts'
import { unreachableTypes } from './declarations.ts'
import { compile, nodes, pack, printed, project, registryAnswers, workshop } from './project.ts'
import { blocks, programs, toInstall } from './readme.ts'

interface Manifest {
  readonly engines: { readonly node: string }
  readonly exports: Readonly<Record<string, string | { readonly source: string; readonly types: string }>>
  readonly peerDependencies: Readonly<Record<string, string>>
  readonly peerDependenciesMeta: Readonly<Record<string, { readonly optional: boolean }>>
}

const manifest = JSON.parse(readFileSync(join(import.meta.dirname, '../../saga/package.json'), 'utf8')) as Manifest
const entries = Object.entries(manifest.exports).flatMap(([name, target]) =>
  typeof target === 'string' ? [] : [{ specifier: name.replace(/^\./, 'ordersaga'), ...target }],
)
const peers = Object.entries(manifest.peerDependencies)
/** The lowest version of a range such as `^5.4.0 || ^6.0.0`. */
const lowest = (range: string): string => /[\d.]+/.exec(range)?.[0] ?? range

/** The oldest that the package says it runs on, and the newest of later lines. */
const versions = [lowest(manifest.engines.node), '22', '24']

/** By the folder of the entry that loads it. */
const drivers: Readonly<Record<string, string>> = {
  sqlite: 'libsql',
  postgres: 'pg',
  redis: 'ioredis',
  kafka: 'kafkajs',
  rabbitmq: 'amqplib',
}
/** Loaded by nothing but Temporal's bundler and worker, which say themselves what they do not find. */
const inWorkflows = (source: string): boolean => source === './hosts/temporal/workflow.ts'
const driverOf = (source: string): string | undefined =>
  drivers[/^\.\/(?:stores|transports)\/(\w+)\//.exec(source)?.[1] ?? '']

const [answers, postgres, kafka, rabbitmq, temporal] = await Promise.all([
  registryAnswers(),
  postgresUrl(),
  kafkaBrokers(),
  rabbitmqUrl(),
  temporalAddress(),
])
const shop = workshop()
afterAll(() => shop.remove())

const name = 'the package in the projects of strangers'
if (!answers && process.env['CI'] !== 'true') {
  test.skip(`${name} (the npm registry does not answer)`, () => undefined)
} else {
  describe(name, () => {
    strangers()
  })
}

function strangers(): void {
  /** What the README says is installed here, the newest of it; its programs are in here, and compiled. */
  let place: string
  let mistakes: string
  let installed: string
  /** The same with the lowest versions of the peers, as a CommonJS project. */
  let oldest: string
  /** With no peer at all. */
  let bare: string
  let node: ReadonlyMap<string, string>

  beforeAll(async () => {
    const tarball = await pack(shop)
    const named = (packages: readonly string[]) => packages.map((each) => (each === 'ordersaga' ? tarball : each))
    const old = peers.map(([peer, range]) => `${peer}@${lowest(range)}`)
    node = await nodes(shop, versions)
    bare = await project(shop, 'bare', 'module', [tarball])
    oldest = await project(shop, 'oldest', 'commonjs', [tarball, 'zod', ...old])
    place = await project(shop, 'newest', 'module', [...named(toInstall), '@types/node@20'])
    for (const [file, text] of programs) writeFileSync(join(place, file), text)
    mistakes = await compile(place)
    installed = join(place, 'node_modules/ordersaga')
  }, 240_000)

  /** Runs a program of the README in a folder of its own. */
  const runs = (file: string, by: string, args: readonly string[] = [], env: Record<string, string> = {}) =>
    printed(by, [join(place, 'out', file), ...args], { cwd: mkdtempSync(join(shop.folder, 'run-')), env })

  test('its programs compile as strictly as can be, the declarations that they use included', () => {
    expect(exceptTemporals(mistakes)).toBe('')
  })

  test('it has its licence and its README, and no tests', () => {
    const files = readdirSync(installed, { recursive: true }).map(String)
    expect(files).toEqual(expect.arrayContaining(['LICENSE', 'README.md', 'core/decide.ts', 'dist/core/decide.js']))
    expect(files.filter((file) => /\.(test|testkit|int|property)\.|[a-z]\.contract\./.test(file))).toEqual([])
  })

  test('whatever its exports and its source maps name is in it', () => {
    const exported = entries.flatMap(({ source, types }) => [source, types])
    const maps = readdirSync(join(installed, 'dist'), { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.map'))
      .map((file) => join('dist', file))
    const mapped = maps.flatMap((file) => {
      const { sources } = JSON.parse(readFileSync(join(installed, file), 'utf8')) as { readonly sources: string[] }
      return sources.map((source) => join(dirname(file), source))
    })
    expect(maps.length).toBeGreaterThan(100)
    expect([...exported, ...mapped].filter((file) => !existsSync(join(installed, file)))).toEqual([])
  })

  test('publint has nothing to say', async () => {
    const { messages } = await publint({ pkgDir: installed, pack: false, strict: true })
    expect(messages).toEqual([])
  })

  test('every type that a signature uses can be imported', () => {
    const unreachable = unreachableTypes(entries.map(({ types }) => join(installed, types)))
    expect(unreachable.map((each) => each.replace(`${installed}/dist/`, ''))).toEqual([])
  })

  describe.each(versions)('with Node %s', (version) => {
    const by = () => node.get(version) ?? ''

    test('each entry is imported, and required', async () => {
      const list = JSON.stringify(entries.map(({ specifier }) => specifier))
      const imported = `for (const each of ${list}) await import(each); console.log('all')`
      expect(await printed(by(), ['--input-type=module', '--eval', imported], { cwd: place })).toBe('all')
      const required = `for (const each of ${list}) require(each); console.log('all')`
      expect(await printed(by(), ['--input-type=commonjs', '--eval', required], { cwd: oldest })).toBe('all')
    })

    test('a saga runs in memory', async () => {
      expect(await runs('run.js', by())).toBe('milk COMPLETED milk undefined\ncaviar COMPENSATED caviar card declined')
    })

    test('a saga runs on SQLite, and is known to the next process and to the gate of rollouts', async () => {
      const cwd = mkdtempSync(join(shop.folder, 'sqlite-'))
      const runHere = (file: string) => printed(by(), [join(place, 'out', file)], { cwd })
      expect(await runHere('sqlite.js')).toBe('true COMPLETED')
      expect(await runHere('sqlite.js')).toBe('false COMPLETED')
      expect(await runHere('rollout.js')).toBe('')
    })

    test('it is checked', async () => {
      expect(await runs('check.js', by())).toBe('true')
    })

    test('it is operated, and three days are turned by hand', async () => {
      expect(await runs('operate.js', by())).toBe('not_found false\n0 0')
      expect(await runs('three-days.js', by())).toBe("{ text: 'Ada has it' }")
    })

    test('a participant of plain JavaScript takes part by HTTP, and answers the request that is printed', async () => {
      const [port, own] = await freePorts(2)
      const participant = spawn(by(), [join(place, 'shop.mjs'), String(port)], { stdio: 'ignore' })
      try {
        expect(await runs('http.js', by(), [`http://127.0.0.1:${port}`, String(own)])).toBe('COMPENSATED')
        const curl = blocks.find(({ text }) => text.startsWith('curl'))?.text.replace('8080', String(port)) ?? ''
        const answer = await printed('sh', ['-c', curl.replace('curl', 'curl --silent --show-error')], { cwd: place })
        expect(JSON.parse(answer)).toEqual(JSON.parse(blocks.find(({ language }) => language === 'json')?.text ?? ''))
      } finally {
        participant.kill()
      }
    })
  })

  test.each(Object.values(drivers))('without %s, who needs it says what to install', async (peer) => {
    const needing = entries.filter(({ source }) => driverOf(source) === peer)
    expect(needing).toHaveLength(1)
    for (const { specifier } of needing) {
      const program = `import('${specifier}').catch((error) => console.log(error.message))`
      expect(await printed(process.execPath, ['--eval', program], { cwd: bare })).toBe(
        `${specifier} needs the package ${peer}, which is not installed: npm install ${peer}`,
      )
    }
  })

  test('without any peer, all other entries are imported', async () => {
    const others = entries
      .filter(({ source }) => driverOf(source) === undefined && !inWorkflows(source))
      .map(({ specifier }) => specifier)
    const program = `for (const each of ${JSON.stringify(others)}) await import(each); console.log('all')`
    expect(await printed(process.execPath, ['--input-type=module', '--eval', program], { cwd: bare })).toBe('all')
  })

  test('what the README says to install is every peer, and each is optional', () => {
    expect(toInstall.filter((each) => peers.some(([peer]) => peer === each)).toSorted()).toEqual(
      peers.map(([peer]) => peer).toSorted(),
    )
    for (const [peer] of peers) expect(manifest.peerDependenciesMeta[peer]).toEqual({ optional: true })
  })

  describe.each(['newest', 'oldest'])('with the %s versions of the peers', (which) => {
    /** The compiled programs, where these versions are found. */
    let out: string
    beforeAll(() => {
      out = which === 'newest' ? join(place, 'out') : join(oldest, 'out')
      if (which === 'newest') return
      cpSync(join(place, 'out'), out, { recursive: true })
      writeFileSync(join(out, 'package.json'), '{ "type": "module" }')
    })
    const runsWith = (file: string, env: Record<string, string> = {}) =>
      printed(process.execPath, [join(out, file)], { cwd: mkdtempSync(join(shop.folder, 'peers-')), env })

    test('a saga runs on SQLite', async () => {
      expect(await runsWith('sqlite.js')).toBe('true COMPLETED')
    })

    suiteOn('PostgreSQL', postgres, 'and PostgreSQL', () => {
      test('a saga runs', async () => {
        const { url, drop } = await freshDatabase()
        try {
          expect(await runsWith('postgres.js', { DATABASE_URL: url })).toBe('COMPLETED')
        } finally {
          await drop()
        }
      })
    })

    const brokers = kafka === null || rabbitmq === null ? null : { KAFKA: kafka, RABBITMQ: rabbitmq }
    suiteOn('Kafka or RabbitMQ', brokers, 'and Kafka and RabbitMQ', (servers) => {
      test('a saga runs', async () => {
        const env = { ...servers, PREFIX: `package-${randomUUID()}-` }
        expect(await runsWith('brokers.js', env)).toBe('COMPLETED\nCOMPLETED')
      })
    })

    suiteOn('Temporal', temporal, 'and Temporal', (address) => {
      test('a saga runs inside a workflow', async () => {
        const printed = await runsWith('temporal.js', { TEMPORAL: address, QUEUE: `package-${randomUUID()}` })
        const lines = printed.split('\n').filter((line) => /^(milk|caviar|failed)/.test(line)) // a worker logs what it does
        expect(lines, printed).toEqual(['milk COMPLETED undefined', 'caviar COMPENSATED card declined'])
      })
    })
  })
}

/** Its own declarations do not hold where everything is checked: users of them need skipLibCheck. What is ours does. */
const exceptTemporals = (mistakes: string): string =>
  mistakes.replaceAll(/^node_modules\/@temporalio\/.*\n(?:[ ].*\n)*/gm, '')
