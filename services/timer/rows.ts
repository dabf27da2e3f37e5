/** Timers in the database. A timer leaves `RUNNING` once, by one statement. */
import type { Kysely } from 'kysely'
import { v7 as uuidv7 } from 'uuid'
import type { TimerRow, TimerState, TimerTables } from './schema.ts'

type Db = Kysely<TimerTables>

export interface NewTimer {
  readonly orderId: string
  readonly customerId: string
  readonly runnerId: string | null
  readonly sagaId: string | null
  readonly expiresAt: number
}

/** The new timers; one is missing where a timer is running for its order. */
export function insertTimers(db: Db, timers: readonly NewTimer[], now: number): Promise<readonly TimerRow[]> {
  return db
    .insertInto('timers')
    .values(
      timers.map((timer) => ({
        timer_id: uuidv7(),
        order_id: timer.orderId,
        customer_id: timer.customerId,
        runner_id: timer.runnerId,
        saga_id: timer.sagaId,
        state: 'RUNNING',
        created_at: now,
        expires_at: timer.expiresAt,
      })),
    )
    .onConflict((conflict) => conflict.doNothing())
    .returningAll()
    .execute()
}

/** The new timer, or undefined where one is running for the order. */
export const insertTimer = async (db: Db, timer: NewTimer, now: number): Promise<TimerRow | undefined> =>
  (await insertTimers(db, [timer], now))[0]

/** The running timer of the order as its saga's, with the saga's time; undefined where none runs that is nobody's. */
export function adoptTimer(db: Db, { orderId, sagaId, expiresAt }: NewTimer): Promise<TimerRow | undefined> {
  return db
    .updateTable('timers')
    .set({ saga_id: sagaId, expires_at: expiresAt })
    .where('order_id', '=', orderId)
    .where('state', '=', 'RUNNING')
    .where('saga_id', 'is', null)
    .returningAll()
    .executeTakeFirst()
}

export function findTimer(db: Db, timerId: string): Promise<TimerRow | undefined> {
  return db.selectFrom('timers').selectAll().where('timer_id', '=', timerId).executeTakeFirst()
}

/** The running timer of the order, else the newest. */
export function findTimerOfOrder(db: Db, orderId: string): Promise<TimerRow | undefined> {
  return db
    .selectFrom('timers')
    .selectAll()
    .where('order_id', '=', orderId)
    .orderBy((timer) => timer.case().when('state', '=', 'RUNNING').then(0).else(1).end())
    .orderBy('created_at', 'desc')
    .orderBy('timer_id', 'desc')
    .executeTakeFirst()
}

/** The running timer of the order as ended, or undefined where none runs. */
export function endTimerOfOrder(
  db: Db,
  orderId: string,
  to: { readonly state: Exclude<TimerState, 'RUNNING'>; readonly runner_id?: string },
): Promise<TimerRow | undefined> {
  return db
    .updateTable('timers')
    .set(to)
    .where('order_id', '=', orderId)
    .where('state', '=', 'RUNNING')
    .returningAll()
    .executeTakeFirst()
}

/** When the next running timer expires, or null where none runs. */
export async function nextExpiry(db: Db): Promise<number | null> {
  const row = await db
    .selectFrom('timers')
    .select('expires_at')
    .where('state', '=', 'RUNNING')
    .orderBy('expires_at')
    .limit(1)
    .executeTakeFirst()
  return row?.expires_at ?? null
}

/** Running timers that have expired, the longest due first. */
export function expiredTimers(db: Db, now: number, limit: number): Promise<TimerRow[]> {
  return db
    .selectFrom('timers')
    .selectAll()
    .where('state', '=', 'RUNNING')
    .where('expires_at', '<=', now)
    .orderBy('expires_at')
    .orderBy('timer_id')
    .limit(limit)
    .execute()
}

export async function markFired(db: Db, timerIds: readonly string[]): Promise<void> {
  await db
    .updateTable('timers')
    .set({ state: 'FIRED' })
    .where('timer_id', 'in', timerIds)
    .where('state', '=', 'RUNNING')
    .execute()
}
