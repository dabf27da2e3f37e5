import { pino } from 'pino'
import { beforeEach, expect, test } from 'vitest'
import { logOptions } from './log.ts'
import { logProblems, problemMetrics } from './problems.ts'

beforeEach(() => problemMetrics.resetMetrics())

test('a problem is a line with its level, ids and cause, and counts; a dead letter counts besides', async () => {
  const lines: string[] = []
  const report = logProblems(pino(logOptions('order', 'info'), { write: (line: string) => void lines.push(line) }))
  report({ what: 'the broker is away', needsPerson: false, cause: new Error('refused') })
  report({ what: 'set aside', needsPerson: true, deadLetter: true, sagaId: 's', messageId: 'm', cause: 'too bitter' })
  expect(lines.map((line) => JSON.parse(line) as unknown)).toMatchObject([
    { level: 40, name: 'order', msg: 'the broker is away', err: { message: 'refused' } },
    { level: 50, msg: 'set aside', sagaId: 's', messageId: 'm', err: 'too bitter' },
  ])
  const text = await problemMetrics.metrics()
  expect(text).toContain('ordersaga_problems_total{needs_person="false"} 1')
  expect(text).toContain('ordersaga_problems_total{needs_person="true"} 1')
  expect(text).toContain('ordersaga_dead_letters_total 1')
})
