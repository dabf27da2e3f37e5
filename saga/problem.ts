/** What an operator should know, in one form for engine, stores, transports and kit. */

export interface Problem {
  /** One sentence: what is wrong, and what to do where somebody can do something. */
  readonly what: string
  /** True where it does not go on by itself: a person must act. */
  readonly needsPerson: boolean
  readonly sagaId?: string | undefined
  readonly messageId?: string | undefined
  /** A message was set aside as a dead letter. */
  readonly deadLetter?: true | undefined
  readonly cause?: unknown
}

export type OnProblem = (problem: Problem) => void

/**
 * Guards a hook: one that throws is told of on stderr, and harms nothing. Without a hook, what needs a person goes to stderr
 * in one line.
 */
export function problemReporter(onProblem: OnProblem = printWhereNeeded): OnProblem {
  return (problem) =>
    guarded(
      () => onProblem(problem),
      (error) => print(`${textOf(problem)} (and the onProblem hook failed on it: ${said(error)})`),
    )
}

/** Calls what a user gave. Whether it throws, or is asynchronous and rejects: `failed` is told, and nothing else happens. */
export function guarded(call: () => unknown, failed: (error: unknown) => void): void {
  try {
    const result = call()
    if (isThenable(result)) Promise.resolve(result).catch(failed)
  } catch (error) {
    failed(error)
  }
}

const isThenable = (value: unknown): boolean =>
  value !== null && typeof value === 'object' && typeof (value as { then?: unknown }).then === 'function'

function printWhereNeeded(problem: Problem): void {
  if (problem.needsPerson) print(textOf(problem))
}

const textOf = ({ what, cause }: Problem): string => (cause == null ? what : `${what}: ${said(cause)}`)

/** Whatever was thrown: a circle, an object without prototype, one whose message cannot be read. */
function said(cause: unknown): string {
  try {
    const text = cause instanceof Error ? cause.message : JSON.stringify(cause)
    return String(text)
  } catch {
    return `a ${typeof cause} that cannot be shown`
  }
}

const print = (text: string): void => void process.stderr.write(`ordersaga: ${text.replaceAll(/\s*\n\s*/g, ' ')}\n`)
