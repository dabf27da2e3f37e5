/** What a worker makes of a file of workflows: it must hold nothing of Node, which a workflow has not. */
import { builtinModules } from 'node:module'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker'
import { expect, onTestFinished, test } from 'vitest'
import { workflowsPath } from './temporal.testkit.ts'

/** Modules that a bundle asks its surroundings for. */
const required = (code: string): readonly string[] =>
  [...code.matchAll(/\brequire\(["'`]([^"'`]+)["'`]\)/g)].map(([, name = '']) => name)

const ofNode = (name: string): boolean => name.startsWith('node:') || builtinModules.includes(name)

test('the bundle of sagas holds the core, and no module of Node', async () => {
  const { code } = await bundleWorkflowCode({ workflowsPath, logger: new DefaultLogger('ERROR') })
  expect(code).toContain('function transition(')
  expect(required(code).filter(ofNode)).toEqual([])
  expect(code).not.toMatch(/["'`]node:/)
})

test('one that imports the client side, which needs Node, is refused', async () => {
  const folder = mkdtempSync(join(import.meta.dirname, '.bundle-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'workflows.ts'), "export { fingerprintOf } from '../../engine/fingerprint.ts'\n")
  const said: string[] = []
  const logger = new DefaultLogger('ERROR', ({ message }) => void said.push(message))
  const bundling = bundleWorkflowCode({ workflowsPath: join(folder, 'workflows.ts'), logger })
  await expect(bundling).rejects.toThrow('Webpack finished with errors')
  expect(said.join('\n')).toContain('node:crypto')
})
