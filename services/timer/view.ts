/** A timer as docs/wire-contract.md shows it. */
import { utcText } from '../shared/time/utc.ts'
import type { TimerRow } from './schema.ts'

export function timerJson(row: TimerRow) {
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
