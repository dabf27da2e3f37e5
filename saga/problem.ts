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
  return (problem) => {
    try {
      onProblem(problem)
    } catch (error) {
      print(`${textOf(problem)} (and the onProblem hook failed on it: ${String(error)})`)
    }
  }
}

function printWhereNeeded(problem: Problem): void {
  if (problem.needsPerson) print(textOf(problem))
}

function textOf({ what, cause }: Problem): string {
  return cause == null ? what : `${what}: ${cause instanceof Error ? cause.message : JSON.stringify(cause)}`
}

const print = (text: string): void => void process.stderr.write(`ordersaga: ${text.replaceAll(/\s*\n\s*/g, ' ')}\n`)
