/** Writes the problems that the library tells of into a service's log, and counts them. */
import type { OnProblem } from 'ordersaga/problem'
import type { Logger } from 'pino'
import { Counter, Registry } from 'prom-client'

/** Of the process: its services share a transport, whose problems are nobody's alone. */
export const problemMetrics = new Registry()

const problems = new Counter({
  name: 'ordersaga_problems_total',
  help: 'What an operator was told of in the log, and whether it needs a person',
  labelNames: ['needs_person'],
  registers: [problemMetrics],
})

const deadLetters = new Counter({
  name: 'ordersaga_dead_letters_total',
  help: 'Messages that could not be handled and were set aside',
  registers: [problemMetrics],
})

/** What needs a person is an error; all else is a warning. */
export function logProblems(log: Logger): OnProblem {
  return ({ what, needsPerson, deadLetter, sagaId, messageId, cause }) => {
    problems.inc({ needs_person: String(needsPerson) })
    if (deadLetter === true) deadLetters.inc()
    log[needsPerson ? 'error' : 'warn']({ sagaId, messageId, err: cause }, what)
  }
}
