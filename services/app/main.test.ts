/** A process as it is started and stopped: what it leaves on the disk, and whom it lets read that. */
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { startChild } from '../../tests/kit/child.ts'
import { newFolder } from '../shared/testing/ask.ts'
import { keepers, services } from './registry.ts'

const ports = Object.fromEntries(services.map(({ port }) => [port.variable, '0']))

const modes = (folder: string): Readonly<Record<string, string>> =>
  Object.fromEntries(
    ['.', ...readdirSync(folder)].map((name) => [name, (statSync(join(folder, name)).mode & 0o777).toString(8)]),
  )

test('its data is for its owner alone, and whole in one file each after a clean end', async () => {
  const folder = join(newFolder(), 'data')
  let isUp = false
  const child = startChild(
    join(import.meta.dirname, 'main.ts'),
    ['all'],
    { ...ports, ORDERSAGA_DIR: folder },
    (line) => {
      isUp ||= line.includes('requests are passed on') // by the last one that starts
    },
  )
  await expect.poll(() => isUp, { timeout: 60_000 }).toBe(true)
  const files = keepers.map(({ database }) => `${database.replace(/_db$/, '').replaceAll('_', '-')}.db`)
  const running = modes(folder)
  expect(Object.keys(running)).toEqual(expect.arrayContaining([...files, 'order.db-wal']))
  expect(running).toEqual({ ...Object.fromEntries(Object.keys(running).map((name) => [name, '600'])), '.': '700' })
  expect(await child.stop()).toBe(0)
  const logs = readdirSync(folder).filter((name) => name.endsWith('-wal'))
  expect(logs.map((name) => [name, statSync(join(folder, name)).size])).toEqual(logs.map((name) => [name, 0]))
})
