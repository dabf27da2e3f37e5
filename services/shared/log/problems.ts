/** Writes the problems that the library tells of into a service's log. */
import type { OnProblem } from 'ordersaga/problem'
import type { Logger } from 'pino'

/** What needs a person is an error; all else is a warning. */
export function logProblems(log: Logger): OnProblem {
  return ({ what, needsPerson, sagaId, messageId, cause }) =>
    log[needsPerson ? 'error' : 'warn']({ sagaId, messageId, err: cause }, what)
}
