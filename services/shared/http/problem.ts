/** Problem details (RFC 9457): the error shape of routes whose contract fixes none. */
import { STATUS_CODES } from 'node:http'
import { z } from 'zod'
import { errorShape } from './error-shapes.ts'
import { exampleIds } from './examples.ts'

export const Problem = z.object({ type: z.string(), title: z.string(), status: z.int(), detail: z.string() }).meta({
  example: { type: 'about:blank', title: 'Not Found', status: 404, detail: `There is no saga ${exampleIds.saga}.` },
})

export const problemBody = (status: number, detail: string): z.infer<typeof Problem> => ({
  type: 'about:blank',
  title: STATUS_CODES[status] ?? 'Error',
  status,
  detail,
})

export const problems = errorShape(Problem, problemBody)
