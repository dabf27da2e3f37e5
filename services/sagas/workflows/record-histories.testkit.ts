/**
 * Writes the histories that `histories.test.ts` replays. Run by hand for a new version of a saga, whose files are then added to
 * those of the versions before:
 *
 *   node --conditions=source --import tsx services/sagas/workflows/record-histories.testkit.ts 127.0.0.1:17233
 */
import { writeFileSync } from 'node:fs'
import { ApplicationFailure } from '@temporalio/activity'
import { placeOn, startWorker, type Place } from '../../../saga/hosts/temporal/temporal.testkit.ts'
import { until } from '../../../tests/kit/until.ts'
import { bundled } from './worker.ts'

type Says = (...args: readonly string[]) => unknown

interface Story {
  readonly says?: Readonly<Record<string, Says>>
  /** Cancelled once this activity was asked for, which is answered afterwards. */
  readonly cancelledAt?: string
}

const refuses: Says = () => {
  throw ApplicationFailure.nonRetryable('it was refused', 'Refused')
}

const argument = { order_id: 'order_1', runner_id: 'runner_1' }

const completeOrder: Readonly<Record<string, Story>> = {
  completed: {},
  failed: { says: { verify_runner: refuses } },
  compensated: { says: { release_funds: refuses } },
  cancelled: { cancelledAt: 'get_user_stripe_connect' },
  'cancelled-too-late': { cancelledAt: 'release_funds' },
}
const acceptOrder: Readonly<Record<string, Story>> = {
  completed: {},
  failed: { says: { verify_and_accept_order: refuses } },
  compensated: { says: { notify_timer_service: refuses } },
  cancelled: { cancelledAt: 'verify_and_accept_order' },
}

async function recorded(at: Place, workflow: string, file: string, story: Story): Promise<object> {
  const workflows = new URL(`../${file}/workflows.ts`, import.meta.url)
  const asked: string[] = []
  let isCancelled = story.cancelledAt === undefined
  const saying =
    (name: string, say: Says) =>
    async (...args: readonly string[]) => {
      asked.push(name)
      if (name === story.cancelledAt) await until('it was cancelled', 20_000, () => isCancelled)
      return say(...args)
    }
  const usual: Readonly<Record<string, Says>> = {
    verify_runner: () => ({ status: 'ON_THE_WAY' }),
    update_order_status: () => true,
    get_user_stripe_connect: () => 'acct_1',
    get_payment_status: () => 'pay_1',
    release_funds: () => true,
    rollback_release_funds: () => true,
    verify_and_accept_order: () => true,
    revert_order_status: () => true,
    notify_timer_service: () => true,
  }
  const activities = Object.fromEntries(
    Object.entries({ ...usual, ...story.says }).map(([name, say]) => [name, saying(name, say)]),
  )
  const worker = await startWorker(at, activities, { workflowBundle: await bundled(workflows) })
  const { client, taskQueue } = at
  const workflowId = `${file}-${taskQueue}`
  const handle = await client.workflow.start(workflow, { workflowId, taskQueue, args: [argument] })
  if (story.cancelledAt !== undefined) {
    await until('it was asked', 20_000, () => asked.includes(story.cancelledAt ?? ''))
    await handle.cancel()
    isCancelled = true
  }
  await handle.result().catch(() => undefined)
  const history = await handle.fetchHistory() // turns itself into JSON
  await worker.stop()
  return history
}

const [address = ''] = process.argv.slice(2)
for (const [file, workflow, stories] of [
  ['accept-order-workflow', 'AcceptOrderWorkflow', acceptOrder],
  ['complete-order-workflow', 'CompleteOrderWorkflow', completeOrder],
] as const)
  for (const [name, story] of Object.entries(stories)) {
    const place = await placeOn(address)
    const history = await recorded(place, workflow, file, story)
    writeFileSync(
      new URL(`../${file}/histories/version-1-${name}.json`, import.meta.url),
      `${JSON.stringify(history)}\n`,
    )
    await place.close()
  }
process.exit(0)
