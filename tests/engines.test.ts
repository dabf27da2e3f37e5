/** What is installed runs on every Node that the README promises. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { minVersion, satisfies } from 'semver'
import { expect, test } from 'vitest'

interface Package {
  readonly version?: string
  readonly engines?: { readonly node?: string }
}

const read = (path: string): string => readFileSync(join(import.meta.dirname, '..', path), 'utf8')
const { packages } = JSON.parse(read('package-lock.json')) as { packages: Readonly<Record<string, Package>> }
const promised = (JSON.parse(read('package.json')) as Package).engines?.node ?? ''
const lowest = minVersion(promised)?.version ?? expect.fail(`${promised} is no range of versions`)

test('the lowest Node of package.json is the one that the README names', () => {
  expect(read('README.md')).toContain(`Node ${promised.replace('>=', '')} or newer`)
})

test('no package that is installed asks for a newer Node', () => {
  const asking = Object.entries(packages).flatMap(([path, { version, engines }]) =>
    engines?.node === undefined ? [] : [{ path, version, node: engines.node }],
  )
  expect(asking.length).toBeGreaterThan(100)
  expect(asking.filter(({ node }) => !satisfies(lowest, node))).toEqual([])
})
