/** A timer as docs/wire-contract.md shows it. */
import { z } from 'zod'
import { exampleIds } from '../shared/http/examples.ts'
import { UtcText, utcText } from '../shared/time/utc.ts'
import type { TimerRow } from './schema.ts'

export const TimerView = z.object({
  timerId: z.string().meta({ example: exampleIds.timer }),
  customerId: z.string().meta({ example: exampleIds.customer }),
  runnerId: z.string().nullable().meta({ example: exampleIds.runner }),
  orderId: z.string().meta({ example: exampleIds.order }),
  runnerAccepted: z.boolean(),
  createdAt: UtcText,
  expiresAt: UtcText,
})

export function timerJson(row: TimerRow): z.infer<typeof TimerView> {
  return {
    timerId: row.timer_id,
    customerId: row.customer_id,
    runnerId: row.runner_id,
    orderId: row.order_id,
    runnerAccepted: row.state === 'STOPPED',
    createdAt: utcText(row.created_at),
    expiresAt: utcText(row.expires_at),
  }
}
