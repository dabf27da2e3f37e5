/** The alert rules: whole, about figures that there are, and right by Prometheus' own checker. */
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import { suiteOn } from '../../../tests/kit/parts.ts'
import { newFile } from '../../shared/testing/ask.ts'
import { openHouse } from './house.testkit.ts'

/** As `scripts/promtool.sh` gives it; else the one on the PATH. */
const promtool = process.env['PROMTOOL'] ?? 'promtool'
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

const run = (...args: string[]) => spawnSync(promtool, args, { encoding: 'utf8' })

suiteOn(
  'promtool',
  run('--version').status === 0 ? promtool : null,
  'by promtool',
  () => {
    test('nothing is wrong with the rules', () => {
      const { status, stdout, stderr } = run('check', 'rules', file)
      expect(`${status} ${stdout}${stderr}`).toMatch(/^0 .*\n.*SUCCESS/)
      expect(stdout).toContain(`${rules.length} rules found`)
    })

    test('a rule with a mistake is found', () => {
      const broken = newFile('alerts')
      writeFileSync(broken, readFileSync(file, 'utf8').replace('max by', 'max buy'))
      const { status, stderr } = run('check', 'rules', broken)
      expect([status, stderr]).toEqual([1, expect.stringContaining('could not parse expression')])
    })
  },
  'install Prometheus, or say PROMTOOL=$(bash scripts/promtool.sh)',
)
