/**
 * HTTP calls of activities. A call is made under the command's id, so that a repeat does nothing twice; it lasts no longer than its
 * attempt, and is made again within it while the other side cannot answer now.
 *
 * What the other side refuses for good fails its activity finally (`Refused`): the saga then knows. Everything else leaves the
 * outcome unknown.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { activityInfo, ApplicationFailure, cancellationSignal } from '@temporalio/activity'
import { commandedBy } from 'ordersaga/temporal/activities'

/** What an activity may do and how long, from who has called it. */
export interface Attempt {
  readonly headers: Readonly<Record<string, string>>
  readonly signal: AbortSignal
  /** Unix milliseconds. */
  readonly until: number
}

/** A workflow of ours hears answers for twice as long as an attempt lasts; one of others as long as it says. */
export function attempt(): Attempt {
  const { activityId, startToCloseTimeoutMs, workflowExecution } = activityInfo()
  const command = commandedBy(activityId)
  const own = `${workflowExecution?.workflowId ?? ''}/${workflowExecution?.runId ?? ''}/${activityId}`
  const forMs = command === null ? 0.9 * startToCloseTimeoutMs : startToCloseTimeoutMs / 2
  return {
    headers: {
      'idempotency-key': command?.id ?? own,
      ...(command?.undoes == null ? {} : { 'ordersaga-undoes': command.undoes }),
    },
    signal: AbortSignal.any([cancellationSignal(), AbortSignal.timeout(Math.max(1, Math.floor(forMs)))]),
    until: Date.now() + forMs,
  }
}

export interface Request {
  readonly method: 'GET' | 'POST'
  readonly url: string
  readonly body?: object
  /** Statuses that the activity reads by itself, besides those below 300. */
  readonly reads?: readonly number[]
  readonly headers?: Readonly<Record<string, string>>
}

export interface Called {
  readonly status: number
  readonly body: unknown
}

/** The other side cannot answer now, or does not know us yet: to ask again may help. */
const mayHeal: ReadonlySet<number> = new Set([401, 403, 407, 408, 421, 425, 429])

const firstPauseMs = 200
const longestPauseMs = 2_000

/**
 * @param service as people call it
 * @throws ApplicationFailure `Refused` where it never will, with what the other side says
 * @throws Error where the outcome is unknown when the attempt's time is up
 */
export async function call(service: string, request: Request, { headers, signal, until }: Attempt): Promise<Called> {
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(2 * pauseMs, longestPauseMs)) {
    const answered = await once(request, { ...headers, ...request.headers }, signal).catch(
      (error: unknown) => error as Error,
    )
    if (!(answered instanceof Error)) {
      const { status, body } = answered
      if (status < 300 || request.reads?.includes(status) === true) return answered
      if (status >= 300 && status < 500 && !mayHeal.has(status)) throw refused(service, status, body)
    }
    if (signal.aborted || Date.now() + pauseMs >= until) {
      const why = answered instanceof Error ? whyOf(answered) : `it answered ${answered.status}`
      throw new Error(`${service} does not answer ${request.method} ${new URL(request.url).pathname}: ${why}`)
    }
    await pause(pauseMs, undefined, { signal }).catch(() => undefined)
  }
}

async function once(
  { method, url, body }: Request,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<Called> {
  const response = await fetch(url, {
    method,
    signal,
    redirect: 'error',
    headers: {
      ...headers,
      accept: 'application/json',
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  return { status: response.status, body: jsonOf(text) }
}

export const refusal = (message: string): ApplicationFailure =>
  ApplicationFailure.create({ type: 'Refused', message, nonRetryable: true })

const refused = (service: string, status: number, body: unknown): ApplicationFailure =>
  refusal(`${service} refuses (${status})${sentenceIn(body)}`)

/** Services word their errors in one of these fields. */
function sentenceIn(body: unknown): string {
  const { error, message } = Object(body) as { readonly error?: unknown; readonly message?: unknown }
  const texts = [error, message].filter((text): text is string => typeof text === 'string' && text !== '')
  return texts.length === 0 ? '' : `: ${texts.join(': ').slice(0, 500)}`
}

function whyOf({ message, cause }: Error): string {
  return cause instanceof Error && cause.message !== '' ? cause.message : message
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

/** Where a service is, without the slash that a variable may end with. */
export const at = (address: string, path: string): string => `${address.replace(/\/+$/, '')}${path}`
