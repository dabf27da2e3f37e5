/** The alert rules: whole, and about figures that there are. `promtool check rules` checks their syntax where it is installed. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import { openHouse } from './house.testkit.ts'

const promtool = 'promtool'
const file = join(import.meta.dirname, 'alerts.yaml')
const Rule = z.strictObject({
  alert: z.string().regex(/^[A-Z]\w+$/),
  expr: z.string().min(1),
  for: z
    .string()
    .regex(/^\d+[smh]$/)
    .optional(),
  labels: z.strictObject({ severity: z.enum(['page', 'ticket']) }),
  annotations: z.strictObject({ summary: z.string(), description: z.string() }),
})
const Rules = z.strictObject({ groups: z.array(z.strictObject({ name: z.string(), rules: z.array(Rule).min(1) })) })

const rules = Rules.parse(parse(readFileSync(file, 'utf8'))).groups.flatMap((group) => group.rules)

test('every figure that a rule asks for is told by an orchestrator', async () => {
  const house = await openHouse()
  const { text } = await house.call('GET', '/metrics')
  await house.close()
  const told = new Set([...text.matchAll(/^# TYPE (\w+)/gm)].map(([, name = '']) => name))
  for (const name of told) if (text.includes(`# TYPE ${name} histogram`)) told.add(`${name}_count`)
  const asked = rules.flatMap(({ expr, annotations }) =>
    [...`${expr} ${annotations.description}`.matchAll(/\b(?:ordersaga|http)_\w+/g)].map(([name]) => name),
  )
  expect(asked.length).toBeGreaterThan(0)
  expect(asked.filter((name) => !told.has(name))).toEqual([])
})

test('promtool, where it is installed, finds nothing wrong', () => {
  const { error, status, stdout, stderr } = spawnSync(promtool, ['check', 'rules', file], { encoding: 'utf8' })
  const missing = error !== undefined && 'code' in error && error.code === 'ENOENT'
  expect(missing ? 'not installed' : `${status} ${stdout}${stderr}`).toMatch(/^(not installed|0 )/)
})
