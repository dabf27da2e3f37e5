/** The sagas of the hosts' suite: apart from it, since some hosts load definitions where no test framework is. */
import { z } from 'zod'
import { participantContract } from '../declare/contract.ts'
import { defineSaga } from '../declare/define.ts'
import type { RetryPolicy } from '../core/retry.ts'

const shop = participantContract('shop', { tombstones: true })
const Answer = z.looseObject({ ref: z.string().optional() })
const refusal = z.object({ error: z.string() })
const Input = z.object({ item: z.string() })

const ask = (type: string) =>
  shop.command(type, {
    payload: z.looseObject({}),
    done: [`${type}.done`, Answer],
    rejected: [`${type}.refused`, refusal],
  })
const undo = (type: string, safeOnNothing = true) =>
  shop.command(type, {
    payload: z.looseObject({}),
    done: [`${type}.done`, Answer],
    rejected: [`${type}.refused`, refusal],
    safeOnNothing,
  })
const sure = (type: string) => shop.command(type, { payload: z.looseObject({}), done: [`${type}.done`, Answer] })

interface Timing {
  readonly retry: RetryPolicy
  readonly attemptMs: number
}

const retry: RetryPolicy = { tries: 2, firstMs: 100, factor: 1, maxMs: 100, jitter: 0 }
/** For what is answered: a busy machine is never too slow for it, where the clock goes by itself. */
const timing: Timing = { retry, attemptMs: 600_000 }
/** For what a test leaves without an answer until its time has passed; long enough to be asked, and to be undone. */
export const briefMs = 3000
const brief: Timing = { retry, attemptMs: briefMs }
const arrived = { type: 'arrived', data: z.object({ by: z.string() }) }
const expired = { type: 'expired', data: z.object({}) }

const orderSaga = (name: string, money: Timing) =>
  defineSaga(name, { version: 1, input: Input, deadlineMs: 3_600_000 })
    .step('stock', {
      do: ask('reserve'),
      with: ({ input }) => ({ item: input.item }),
      undo: undo('release'),
      undoWith: ({ reply, reason }) => ({ ref: reply?.ref, reason }),
      ...timing,
    })
    .step('money', {
      do: ask('charge'),
      with: ({ replies }) => ({ for: replies.stock.ref }),
      undo: undo('refund'),
      undoWith: () => ({}),
      ...money,
    })
    .step('confirm', { do: ask('confirm'), with: () => ({}), ...timing })
    .pivot()
    .step('tell', { do: sure('tell'), with: () => ({}), ...timing, retry: { ...retry, tries: Infinity } })
    .end({
      cancelDecidedBy: 'stock',
      businessKey: ({ input }) => input.item,
      follows: [{ event: expired, reaction: 'cancel', by: 'timer', reason: 'nobody came' }],
    })

export const order = orderSaga('order', timing)
/** One whose charge is settled blind after two short tries without an answer. */
export const doubtful = orderSaga('doubtful', brief)
/** One whose charge is not asked again for ten minutes. */
export const unhurried = orderSaga('unhurried', { ...brief, retry: { ...retry, firstMs: 600_000, maxMs: 600_000 } })

export const trip = defineSaga('trip', { version: 1, input: Input })
  .parallel((group) =>
    group
      .step('flight', { do: ask('fly'), with: () => ({}), undo: undo('unfly'), undoWith: () => ({}), ...timing })
      .step('room', { do: ask('book'), with: () => ({}), undo: undo('unbook'), undoWith: () => ({}), ...timing }),
  )
  .wait('arrival', { for: arrived, withinMs: 86_400_000 })
  .step('mail', {
    do: shop.notice('mail', { payload: z.looseObject({}), safeOnNothing: true }),
    with: ({ replies }) => ({ to: replies.arrival.by }),
    undo: undo('unmail'),
    undoWith: () => ({}),
    ...timing,
  })
  .end()

export const risky = defineSaga('risky', { version: 1, input: Input })
  .step('charge', {
    do: ask('charge'),
    with: () => ({}),
    undo: undo('refund', false),
    undoWith: ({ reply }) => ({ ref: reply?.ref }),
    ...brief,
  })
  .end()

export const slow = defineSaga('slow', { version: 1, input: Input, deadlineMs: 2000 })
  .step('charge', {
    do: ask('charge'),
    with: () => ({}),
    undo: undo('refund', false),
    undoWith: () => ({}),
    ...timing,
  })
  .end()

/** Asks again for as long as it takes. */
export const patient = defineSaga('patient', { version: 1, input: Input })
  .step('charge', {
    do: ask('charge'),
    with: () => ({}),
    attemptMs: 5000,
    retry: { ...retry, tries: Infinity },
  })
  .pivot()
  .step('tell', { do: sure('tell'), with: () => ({}), ...timing, retry: { ...retry, tries: Infinity } })
  .end()
