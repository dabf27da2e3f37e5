/**
 * Changes over HTTP that belong to a saga of somebody else, who may ask twice and may have to undo: with an `Idempotency-Key` a
 * change is a command of the participant, obeyed once under that key, and `Ordersaga-Undoes` names the key of the change that
 * this one takes back. One that was taken back before it came is refused from then on (docs/wire-contract.md 0.6).
 */
import type { CommandContract } from 'ordersaga/contract'
import type { Participant } from 'ordersaga/participant'
import { isUnavailable } from 'ordersaga/transport'
import { z } from 'zod'
import { HttpError } from './http-error.ts'

/** The keys of sagas are longer than those of people. */
const Key = z.string().min(1).max(1000)

export const KeyedHeaders = z.object({
  'idempotency-key': Key.optional().meta({ example: 'delivery-42:deliver' }),
  'ordersaga-undoes': Key.optional().meta({
    description: 'The key of the change that this one takes back',
    example: 'delivery-42:deliver',
  }),
})

/** Whose change it is; null where it is nobody's in particular. */
export interface Keyed {
  readonly key: string
  readonly undoes: string | null
}

/** @throws HttpError where an undo has no key of its own */
export function keyedBy(headers: z.infer<typeof KeyedHeaders>): Keyed | null {
  const { 'idempotency-key': key, 'ordersaga-undoes': undoes } = headers
  if (key !== undefined && key === undoes)
    throw new HttpError(
      400,
      'Ordersaga-Undoes names this very request: name the change to take back, and use another key',
    )
  if (key !== undefined) return { key, undoes: undoes ?? null }
  if (undoes === undefined) return null
  throw new HttpError(400, 'Ordersaga-Undoes names a change to take back: send an Idempotency-Key of its own with it')
}

/** Ids of commands by messages are others; a key is one of its kind of change. */
const idOf = (type: string, key: string): string => `http:${type}:${key}`

/**
 * The command of a change, as a message.
 *
 * @param undone the type of the command that an undo takes back
 */
export const keyedCommand = (
  { type, undone }: { readonly type: string; readonly undone: string },
  { key, undoes }: Keyed,
  payload: unknown,
  now: number,
) => ({
  id: idOf(type, key),
  type,
  correlationId: `http:${undoes ?? key}`, // what belongs together is obeyed in the order of its coming
  ...(undoes === null ? {} : { undoes: idOf(undone, undoes) }),
  timestamp: new Date(now).toISOString(),
  payload,
})

/** What a participant says to a change: done with its data, or refused. */
export type Said<Data> =
  { readonly done: Data } | { readonly refused: string; readonly details: Readonly<Record<string, unknown>> }

/** @throws HttpError 503 where its outcome is unknown: the same request, with its key, tells it */
export async function obeyKeyed<Payload, Data, Received, Given>(
  obey: Participant['obey'],
  contract: CommandContract<Payload, Data, Received, Given>,
  undone: string,
  keyed: Keyed,
  payload: NoInfer<Payload>,
  now: number,
): Promise<Said<Given>> {
  const answer = await obey(
    keyedCommand({ type: contract.type, undone }, keyed, payload, now),
    contract.commandChannel,
  ).catch(notNow)
  if (answer === null) throw new Error(`${contract.type} has no answer`)
  if (answer.type === contract.done.type) return { done: answer.payload as Given }
  const details = answer.payload as Readonly<Record<string, unknown>>
  return { refused: contract.rejected?.reason(details) ?? '', details }
}

/** Its outcome is unknown: the kit has told the log why. */
function notNow(error: unknown): never {
  const why = isUnavailable(error) ? error.message : 'this could not be finished now, and may have been begun'
  throw new HttpError(503, `${why}: send the request again, with the same Idempotency-Key`, 2)
}

/** One key, one request: what it was used for first is what was answered. @throws HttpError 422 */
export function checkSameAs(asked: string, answered: unknown): void {
  if (typeof answered === 'string' && answered !== asked)
    throw new HttpError(
      422,
      `the Idempotency-Key was used for ${answered.slice(0, 100)}: use a new one for another request`,
    )
}
