/** A PostgreSQL server of a test's own, in a temporary folder: one that may be restarted and crashed at will. */
import { execFile } from 'node:child_process'
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

export interface PrivatePostgres {
  /** Of its database `postgres`, as a superuser. */
  readonly url: string
  /** As a crash of the server: every connection is cut, and it recovers from its log. */
  crashAndRestart(): Promise<void>
  remove(): Promise<void>
}

/** The folder of initdb and pg_ctl; null where PostgreSQL is not installed here. Debian keeps them off the PATH. */
export function postgresPrograms(): string | null {
  const debian = '/usr/lib/postgresql'
  const versions = existsSync(debian) ? readdirSync(debian).toSorted((a, b) => Number(b) - Number(a)) : []
  const folders = [
    ...versions.map((version) => join(debian, version, 'bin')),
    ...(process.env['PATH'] ?? '').split(':'),
  ]
  return folders.find((folder) => ['initdb', 'pg_ctl'].every((name) => existsSync(join(folder, name)))) ?? null
}

/** @param settings of `postgresql.conf`, such as `{ commit_delay: '5000' }` */
export async function startPrivatePostgres(
  programs: string,
  settings: Readonly<Record<string, string>> = {},
): Promise<PrivatePostgres> {
  const account = await accountFor()
  const folder = mkdtempSync(join(tmpdir(), 'ordersaga-postgres-'))
  if (account !== null) chownSync(folder, account.uid, account.gid)
  const data = join(folder, 'data')
  const as = (program: string, ...args: readonly string[]) =>
    run(join(programs, program), [...args], { cwd: folder, timeout: 120_000, ...account })
  await as('initdb', '-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--no-locale')
  const port = await freePort()
  const options = {
    port: String(port),
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    max_connections: '200',
    ...settings,
  }
  const flags = Object.entries(options).map(([name, value]) => `-c ${name}=${value === '' ? "''" : value}`)
  const control = (...verb: readonly string[]) =>
    as('pg_ctl', '-D', data, '-w', '-t', '60', '-l', join(folder, 'server.log'), '-o', flags.join(' '), ...verb)
  await control('start')
  return {
    url: `postgres://postgres@127.0.0.1:${port}/postgres`,
    crashAndRestart: async () => void (await control('restart', '-m', 'immediate')),
    async remove() {
      await as('pg_ctl', '-D', data, '-m', 'immediate', '-w', 'stop')
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** PostgreSQL refuses to run as root: as root, the account that its package has made. */
async function accountFor(): Promise<{ readonly uid: number; readonly gid: number } | null> {
  if (process.getuid?.() !== 0) return null
  const id = async (flag: string): Promise<number> => Number((await run('id', [flag, 'postgres'])).stdout)
  return { uid: await id('-u'), gid: await id('-g') }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('no port was given')
  return address.port
}
