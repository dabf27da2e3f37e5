/**
 * The services as JavaScript, for whoever starts many of them: a process is up in half the time that it takes from the
 * sources. They lie as in the image (`saga/dist` and `services/dist` beside their package.json), in a folder of their own, so
 * that no other build comes in between. Vitest makes them once, before the first suite that needs them.
 */
import { execFile } from 'node:child_process'
import { copyFile, mkdir, rm, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const root = join(import.meta.dirname, '../..')
const built = join(root, '.built')

/** What starts a service by its name. */
export const builtMain = join(built, 'services/dist/app/main.js')

/** Types are checked elsewhere. */
export async function setup(): Promise<void> {
  await rm(built, { recursive: true, force: true })
  await Promise.all([compile('saga', '--declaration', 'false', '--declarationMap', 'false'), compile('services')])
  await mkdir(join(built, 'node_modules'))
  await symlink('../saga', join(built, 'node_modules/ordersaga'))
}

async function compile(name: string, ...more: readonly string[]): Promise<void> {
  const outDir = join(built, name, 'dist')
  const options = ['--project', `${name}/tsconfig.build.json`, '--outDir', outDir, '--noCheck', ...more]
  await promisify(execFile)('npx', ['--no-install', 'tsc', ...options], { cwd: root })
  await copyFile(join(root, name, 'package.json'), join(built, name, 'package.json'))
}
