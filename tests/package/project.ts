/** Makes projects of strangers: the package as `npm pack` gives it, installed from there, and run by other versions of Node. */
import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'

const root = join(import.meta.dirname, '../..')
const run = promisify(execFile)

/** All that a test makes is in here. */
export interface Workshop {
  readonly folder: string
  remove(): void
}

export function workshop(): Workshop {
  const folder = mkdtempSync(join(tmpdir(), 'ordersaga-package-'))
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) }
}

export async function registryAnswers(): Promise<boolean> {
  try {
    await run('npm', ['view', 'zod', 'version', '--fetch-retries=0', '--fetch-timeout=10000'])
    return true
  } catch {
    return false
  }
}

/** Builds and packs a copy, so that nothing of the workspace is touched; gives the tarball's path. */
export async function pack({ folder }: Workshop): Promise<string> {
  const copy = join(folder, 'workspace')
  const left = new Set(['node_modules', 'dist'])
  cpSync(join(root, 'saga'), join(copy, 'saga'), { recursive: true, filter: (path) => !left.has(basename(path)) })
  cpSync(join(root, 'tsconfig.json'), join(copy, 'tsconfig.json'))
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
  const { stdout } = await run('npm', ['pack', '--silent', '--pack-destination', folder], { cwd: join(copy, 'saga') })
  return join(folder, stdout.trim().split('\n').at(-1) ?? '')
}

/** An empty project with these packages, and no others but what they ask for. No package's scripts are run. */
export async function project(
  { folder }: Workshop,
  name: string,
  type: 'module' | 'commonjs',
  packages: readonly string[],
): Promise<string> {
  const place = join(folder, name)
  mkdirSync(place)
  writeFileSync(join(place, 'package.json'), JSON.stringify({ name, private: true, type }))
  const flags = ['--no-audit', '--no-fund', '--ignore-scripts', '--prefer-offline', '--silent']
  await run('npm', ['install', ...flags, ...packages], { cwd: place })
  return place
}

/** The programs of versions of Node. They come as packages for one platform each, without scripts. */
export async function nodes(workshop: Workshop, versions: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const platform = process.platform === 'win32' ? 'win' : process.platform
  const packages = versions.map((version) => `node-${version}@npm:node-${platform}-${process.arch}@${version}`)
  const place = await project(workshop, 'nodes', 'module', packages)
  return new Map(versions.map((version) => [version, join(place, `node_modules/node-${version}/bin/node`)]))
}

/** Type-checks and compiles all of a project's files into its folder `out`, as strictly as can be; gives what is wrong. */
export async function compile(place: string): Promise<string> {
  const compilerOptions = {
    target: 'ES2023',
    module: 'NodeNext',
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    skipLibCheck: false,
    allowImportingTsExtensions: true,
    rewriteRelativeImportExtensions: true,
    types: ['node'],
    outDir: 'out',
  }
  writeFileSync(join(place, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['*.ts'] }))
  try {
    await run(join(root, 'node_modules/.bin/tsc'), ['-p', '.'], { cwd: place })
    return ''
  } catch (error) {
    return String((error as { readonly stdout?: unknown }).stdout)
  }
}

/** What a program prints, its errors last. */
export async function printed(
  node: string,
  args: readonly string[],
  { cwd, env = {} }: { readonly cwd: string; readonly env?: Readonly<Record<string, string>> },
): Promise<string> {
  const options = { cwd, env: { ...process.env, NODE_NO_WARNINGS: '1', ...env }, timeout: 60_000 }
  try {
    const { stdout, stderr } = await run(node, args, options)
    return (stdout + stderr).trim()
  } catch (error) {
    const { stdout, stderr } = error as { readonly stdout?: string; readonly stderr?: string }
    return `failed: ${stdout ?? ''}${stderr ?? String(error)}`.trim()
  }
}
