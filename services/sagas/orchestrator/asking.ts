/** Asks the engine on behalf of an HTTP client: with patience, and with its refusals as HTTP says them. */
import { EngineError } from 'ordersaga/engine/errors'
import { HttpError } from '../../shared/http/http-error.ts'

/** Asks the engine, and says its refusal or its silence as HTTP does. */
export type Ask = <T>(work: () => Promise<T>) => Promise<T>

/** How long a request waits for a store that is away, in milliseconds. */
export const defaultPatienceMs = 30_000

/**
 * Work that takes longer goes on by itself: the engine tries for as long as the store is away.
 *
 * @param whenSilent what to do then
 */
export function askingFor(patienceMs: number, whenSilent: string): Ask {
  const silent = new HttpError(
    503,
    `the store does not answer in time, and whether this takes effect is not known yet: ${whenSilent}`,
    5,
  )
  return async (work) => {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(silent), patienceMs)
    })
    try {
      return await Promise.race([work(), late])
    } catch (error) {
      throw clientError(error)
    } finally {
      clearTimeout(timer)
    }
  }
}

const httpStatus: Readonly<Record<string, number>> = {
  not_found: 404,
  unknown_definition: 409,
  handed_over: 409,
  key_reused: 422,
  invalid_input: 400,
  refused: 400,
  busy: 503,
  stopped: 503,
}

function clientError(error: unknown): HttpError {
  if (error instanceof HttpError) return error
  const status = error instanceof EngineError ? httpStatus[error.code] : undefined
  if (status === undefined) throw error
  return new HttpError(status, (error as Error).message, status === 503 ? 1 : undefined)
}
