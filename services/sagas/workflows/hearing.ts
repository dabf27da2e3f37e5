/**
 * What the originals' activities say, by what they return: `true` or a text where it was done, `false`, nothing or an empty object
 * where it was not. Ours fail finally where something is refused, which tells why. Pure: it runs inside workflows.
 */
import type { Command } from 'ordersaga/core'
import type { ActivityCall, Outcome, Said } from 'ordersaga/temporal/workflow'

/** How the commands of a type are called; the activity has the type's name. */
export type Calls = Readonly<
  Record<string, (payload: Readonly<Record<string, string>>) => Omit<ActivityCall, 'activity'>>
>

export const callBy =
  (calls: Calls) =>
  ({ type, payload }: Command): ActivityCall | null => {
    const call = calls[type]?.(payload as Readonly<Record<string, string>>)
    return call === undefined ? null : { activity: type, ...call }
  }

const heard =
  (read: (result: unknown) => Said) =>
  (outcome: Outcome): Said | null => {
    if ('result' in outcome) return read(outcome.result)
    return outcome.failed.isFinal ? { rejected: outcome.failed.message } : null
  }

export const hears = {
  /** What it returns is the answer. */
  value: heard((result) => ({ done: result })),
  /** It was done, or not. */
  word: heard((result) =>
    result === true ? { done: {} } : { rejected: `it said ${JSON.stringify(result) ?? 'nothing'}` },
  ),
  /** A text, such as an id. */
  text: (otherwise: string) =>
    heard((result) => (typeof result === 'string' && result !== '' ? { done: result } : { rejected: otherwise })),
} as const
