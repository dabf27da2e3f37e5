/** Problem details (RFC 9457): the error shape of routes whose contract fixes none. */
import { STATUS_CODES } from 'node:http'
import { z } from 'zod'

export const Problem = z.object({ type: z.string(), title: z.string(), status: z.int(), detail: z.string() }).meta({
  example: {
    type: 'about:blank',
    title: 'Not Found',
    status: 404,
    detail: 'There is no saga 01920a3c-5d1e-7000-8000-0000000000a1.',
  },
})

export const problemBody = (status: number, detail: string): z.infer<typeof Problem> => ({
  type: 'about:blank',
  title: STATUS_CODES[status] ?? 'Error',
  status,
  detail,
})
