/**
 * When the upkeep looks at a payment by itself: kept in its row, so that a page of the upkeep is of due payments only.
 * Pure; every change of a row sets it anew.
 */
import type { PaymentRow, PaymentStatus } from './schema.ts'

const minute = 60_000

/** Left alone for so long, work has no command any more that is about to finish it. */
const unfinishedMs = minute

/**
 * So long an authorisation of unknown outcome is left to its saga. That asks 8 times within 2 minutes, then undoes up to 25
 * times within a quarter of an hour, and is told what became of it each time: whoever has been silent for twice as long does
 * not come back. A command that comes still later finds the payment undone, and is refused.
 *
 * Not much longer either: the customer's money may be held all the while, and Stripe forgets the key of the hold after a day.
 */
export const unknownMs = 30 * minute

/** A gateway that refuses changes its mind seldom. */
const longestPauseMs = 24 * 60 * minute

/** One that cannot be reached comes back, and money waits for that. */
const longestUnknownMs = 60 * minute

/** A time, null for never, or the row's own column of that name: in that one, rows of one statement differ. */
export type Due = number | 'expires_at' | null

/**
 * @param refusals how often the gateway has refused, where it has just done so again; 0 where work begins or has moved on
 */
export function dueOf(status: PaymentStatus, refusals: number, now: number): Due {
  switch (status) {
    case 'INITIATING':
      return now + unknownMs
    case 'AUTHORIZED':
      return 'expires_at'
    case 'RELEASING':
    case 'REVERTING':
      return now + Math.min(unfinishedMs * 2 ** refusals, longestPauseMs)
    // Waits for somebody to ask again, or for nothing any more.
    case 'CAPTURED':
    case 'SUCCEEDED':
    case 'REVERTED':
    case 'FAILED':
      return null
  }
}

/** After a look that found nothing out: as long again as the payment has waited since it last moved. */
export function dueAgain({ updated_at }: PaymentRow, now: number): number {
  return now + Math.min(Math.max(now - updated_at, unfinishedMs), longestUnknownMs)
}
