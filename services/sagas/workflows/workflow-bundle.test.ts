/** What the workers make of their files of workflows: it must hold nothing of Node, which a workflow has not. */
import { builtinModules } from 'node:module'
import { expect, test } from 'vitest'
import { bundled } from './worker.ts'

/** Modules that a bundle asks its surroundings for. */
const required = (code: string): readonly string[] =>
  [...code.matchAll(/\brequire\(["'`]([^"'`]+)["'`]\)/g)].map(([, name = '']) => name)

const ofNode = (name: string): boolean => name.startsWith('node:') || builtinModules.includes(name)

test.each([
  ['CompleteOrderWorkflow', new URL('../complete-order-workflow/workflows.ts', import.meta.url)],
  ['AcceptOrderWorkflow', new URL('../accept-order-workflow/workflows.ts', import.meta.url)],
])('the bundle of %s holds the core, and no module of Node', async (workflow, file) => {
  const { code } = await bundled(file)
  expect(code).toContain('function transition(')
  expect(code).toContain(workflow)
  expect(required(code).filter(ofNode)).toEqual([])
  expect(code).not.toMatch(/["'`]node:/)
})
