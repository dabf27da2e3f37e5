/** Histories of workflows that earlier builds have begun: what they had decided, this one decides again. */
import { readdirSync, readFileSync } from 'node:fs'
import { temporal } from '@temporalio/proto'
import { Worker, type WorkflowBundleWithSourceMap } from '@temporalio/worker'
import { beforeAll, describe, expect, test } from 'vitest'
import { bundled } from './worker.ts'

const { History } = temporal.api.history.v1

describe.each(['complete-order-workflow', 'accept-order-workflow'])('%s', (name) => {
  const folder = new URL(`../${name}/histories/`, import.meta.url)
  const files = readdirSync(folder)
  const historyIn = (file: string): temporal.api.history.v1.History =>
    History.fromObject(JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as Record<string, unknown>)

  let workflowBundle: WorkflowBundleWithSourceMap
  beforeAll(async () => {
    await import('../../../saga/hosts/temporal/temporal.testkit.ts') // has the SDK say only what went wrong
    workflowBundle = await bundled(new URL(`../${name}/workflows.ts`, import.meta.url))
  })
  /** Under the id that the workflow had, from which the ids of its commands come. */
  const replayed = (history: temporal.api.history.v1.History): Promise<void> =>
    Worker.runReplayHistory(
      { workflowBundle },
      history,
      history.events[0]?.workflowExecutionStartedEventAttributes?.workflowId ?? '',
    )

  test('there are some of each end', () => {
    for (const end of ['completed', 'failed', 'compensated', 'cancelled'])
      expect(files).toContain(`version-1-${end}.json`)
  })

  test.each(files)('%s', async (file) => {
    await replayed(historyIn(file))
  })

  test('one that was decided otherwise is found', async () => {
    const history = historyIn('version-1-completed.json')
    const asked = history.events.flatMap(({ activityTaskScheduledEventAttributes: each }) => each?.activityType ?? [])
    expect(asked.length).toBeGreaterThan(0)
    for (const type of asked) type.name = 'another'
    await expect(replayed(history)).rejects.toThrow(/nondeterminism error: Activity type .*another/i)
  })
})
