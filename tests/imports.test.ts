/** Keeps the import rules of the folders: who may know whom. What a folder may import is one line of the table. */
import { readdirSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { expect, test } from 'vitest'

const anyPackage = String.raw`(?![./])(?!saga/|services/|tests/|bench/|scripts/).+`
/** What all parts of the library share. */
const common = 'saga/(clock|kept-time|problem|chance).ts'
/** How a driver is loaded, which may be missing; its types are imported as types. */
const loader = 'saga/driver.ts'
const drivers: Record<string, string> = {
  sqlite: 'libsql',
  postgres: 'pg',
  redis: 'ioredis',
  kafka: 'kafkajs',
  rabbitmq: 'amqplib',
}

/** Folder (the first that matches), and what its files may import: paths from the root, packages as they are written. */
const table: readonly [folder: RegExp, imports: (group: readonly string[]) => string][] = [
  [/^saga\/core\//, () => 'saga/core/.+'],
  [/^saga\/declare\//, () => 'saga/(core|declare)/.+'],
  [/^saga\/manual-clock\.ts$/, () => 'saga/clock.ts'],
  [/^saga\/driver\.ts$/, () => 'node:module'],
  [/^saga\/[^/]+$/, () => `uuid|${common}`],
  [
    /^saga\/participant\//,
    () => `saga/participant/.+|saga/core/(contract|plain).ts|saga/transports/(transport|trace).ts|${common}`,
  ],
  [/^saga\/(stores|transports)\/[^/]+$/, ([, family]) => `saga/core/.+|saga/${family}/[^/]+|node:.+|${common}`],
  [
    /^saga\/(stores|transports)\/([^/]+)\//,
    ([, family, own = '']) =>
      `saga/core/.+|saga/${family}/[^/]+|saga/${family}/${own}/.+|node:.+|${common}|${loader}|${drivers[own] ?? 'no driver'}`,
  ],
  [
    /^saga\/hosts\/engine\//,
    () =>
      `saga/core/.+|saga/hosts/([^/]+|engine/.+)|saga/stores/store.ts|saga/transports/transport.ts|node:.+|${common}`,
  ],
  // Inside a workflow there is no Node, and on the client's side no package of Temporal but by its types.
  [
    /^saga\/hosts\/temporal\/(workflow|workflow-saga|remains-open|protocol|calls)\.ts$/,
    () =>
      `saga/core/.+|saga/hosts/[^/]+|saga/hosts/engine/(business-key|entries|registry).ts|saga/hosts/temporal/(workflow-saga|remains-open|protocol|calls).ts|@temporalio/workflow`,
  ],
  [
    /^saga\/hosts\/temporal\//,
    () =>
      `uuid|saga/core/.+|saga/hosts/[^/]+|saga/hosts/engine/(business-key|entries|errors|fingerprint|registry).ts|saga/hosts/temporal/(protocol|calls|saga-index).ts|saga/transports/transport.ts|@temporalio/client|node:.+|${common}`,
  ],
  [/^saga\/hosts\/[^/]+$/, () => 'saga/core/.+|saga/hosts/[^/]+|saga/transports/transport.ts'],
  [/^saga\/hosts\/checker\//, () => 'saga/core/.+|saga/hosts/checker/.+'],
  [/^services\/app\//, () => `${anyPackage}|services/.+`],
  [/^services\/shared\//, () => `${anyPackage}|services/shared/.+`],
  [/^services\/sagas\/orchestrator\//, () => `${anyPackage}|services/(shared|sagas/orchestrator)/.+`],
  [
    /^services\/sagas\/workflows\//,
    () => `${anyPackage}|services/(shared|sagas/workflows)/.+|services/order/reader.ts`,
  ],
  [
    /^services\/(sagas\/[^/]+)\//,
    ([, own]) =>
      `${anyPackage}|services/(${own}|shared|sagas/orchestrator|sagas/workflows)/.+|services/[^/]+/(messages|reader).ts`,
  ],
  [
    /^services\/([^/]+)\//,
    ([, own]) => `${anyPackage}|services/(${own}|shared)/.+|services/[^/]+/(messages|reader).ts`,
  ],
]

/** Tests, and the suites and stand-ins made for them, import what they please. */
const forTests = /\.(test|contract|testkit)\.ts$|\/testing\//

function violations(path: string, source: string): string[] {
  if (forTests.test(path)) return []
  const row = table.find(([folder]) => folder.test(path))
  if (row === undefined) return [`${path}: no rule says what this folder may import`]
  const allowed = new RegExp(`^(${row[1](row[0].exec(path) ?? [])})$`)
  const imports = [
    ...source.matchAll(/(?:^(?:import|export)\s[\w\s{},*$]*\bfrom\s|^import\s|\bimport\(\s*)'([^']+)'/gm),
  ]
  const found = imports
    .map(([, name = '']) => (name.startsWith('.') ? posix.join(posix.dirname(path), name) : name))
    .filter((name) => !allowed.test(name))
    .map((name) => `${path} imports ${name}`)
  return source.includes('process.env') && path !== 'services/app/main.ts'
    ? [...found, `${path} reads process.env`]
    : found
}

const root = join(import.meta.dirname, '..')

function sources(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    if (entry.name === 'node_modules' || entry.name === 'dist') return []
    const path = `${folder}/${entry.name}`
    if (entry.isDirectory()) return sources(path)
    return path.endsWith('.ts') ? [path] : []
  })
}

test('every folder imports only what the table of imports allows, and only services/app/main.ts reads the environment', () => {
  const paths = [...sources('saga'), ...sources('services')]
  expect(paths).toContain('saga/core/decide.ts')
  expect(paths.flatMap((path) => violations(path, readFileSync(join(root, path), 'utf8')))).toEqual([])
})

test.each([
  ['saga/core/a.ts', "import { z } from 'zod'", 'zod'],
  ['saga/core/a.ts', "import fs from 'node:fs'", 'node:fs'],
  ['saga/core/a.ts', "import type { Store } from '../stores/store.ts'", 'saga/stores/store.ts'],
  ['saga/participant/a.ts', "import { decide } from '../core/decide.ts'", 'saga/core/decide.ts'],
  ['saga/stores/page.ts', "export * from './memory/a.ts'", 'saga/stores/memory/a.ts'],
  ['saga/stores/sqlite/a.ts', "import {\n  b,\n} from '../memory/a.ts'", 'saga/stores/memory/a.ts'],
  ['saga/stores/sqlite/a.ts', "import pg from 'pg'", 'pg'],
  ['saga/hosts/engine/a.ts', "await import('../../stores/memory/a.ts')", 'saga/stores/memory/a.ts'],
  ['saga/hosts/temporal/workflow.ts', "import fs from 'node:fs'", 'node:fs'],
  ['saga/hosts/temporal/workflow-saga.ts', "import '../engine/fingerprint.ts'", 'saga/hosts/engine/fingerprint.ts'],
  ['saga/hosts/temporal/activities.ts', "import { Worker } from '@temporalio/worker'", '@temporalio/worker'],
  ['saga/hosts/engine/a.ts', "import type { Client } from '@temporalio/client'", '@temporalio/client'],
  [
    'saga/hosts/engine/a.ts',
    "import { sagaWorkflow } from '../temporal/workflow.ts'",
    'saga/hosts/temporal/workflow.ts',
  ],
  ['saga/stores/memory/a.ts', "import '@temporalio/workflow'", '@temporalio/workflow'],
  ['services/order/a.ts', "import { b } from '../user/domain.ts'", 'services/user/domain.ts'],
  ['services/order/a.ts', "import { b } from '../../saga/core/decide.ts'", 'saga/core/decide.ts'],
  ['services/sagas/x/a.ts', "import '../y/saga.ts'", 'services/sagas/y/saga.ts'],
  ['services/shared/http/a.ts', "import '../../app/main.ts'", 'services/app/main.ts'],
  ['services/order/a.ts', "import '../app/system.ts'", 'services/app/system.ts'],
  ['services/shared/a.ts', "import '../order/messages.ts'", 'services/order/messages.ts'],
  ['services/sagas/orchestrator/a.ts', "import '../x/saga.ts'", 'services/sagas/x/saga.ts'],
])('in %s, "%s" is found', (path, source, target) => {
  expect(violations(path, `// a file\n${source}\n`)).toEqual([`${path} imports ${target}`])
})

test('reading the environment elsewhere, and a folder without a rule, are found', () => {
  expect(violations('services/shared/log/a.ts', 'const level = process.env.LEVEL')).toEqual([
    'services/shared/log/a.ts reads process.env',
  ])
  expect(violations('saga/cli/a.ts', '')).toEqual(['saga/cli/a.ts: no rule says what this folder may import'])
})
