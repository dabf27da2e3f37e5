/** `/health`, `/health/live`, `/health/ready`: the process runs; its parts answer. */
import { z } from 'zod'
import type { HttpServer } from './server.ts'

/** Asks the parts (database, transport), by name; false or a rejection where one does not answer. */
export type Ready = () => Promise<Readonly<Record<string, boolean>>>

/** A part that takes longer to answer is of no use to a request either. */
const patienceMs = 2_000

const freshMs = 1_000

const partsSchema = z.record(z.string(), z.boolean()).meta({ example: { database: true, transport: true } })
const failedSchema = z.array(z.string()).meta({ description: 'The parts that do not answer', example: ['database'] })
/** What `/health` answers. */
export const Health = {
  200: z.object({ status: z.literal('healthy') }),
  503: z.object({ status: z.literal('unhealthy'), failed: failedSchema }),
}

interface Findings {
  readonly parts: Readonly<Record<string, boolean>>
  readonly failed: readonly string[]
}

/** @param isClosing then nothing is ready, whatever the parts say */
export function serveHealth(server: HttpServer, ready: Ready, isClosing: () => boolean): void {
  let asking: Promise<Findings> | null = null

  /** Probes are no way to load a database: they share an answer, and one that is good for a second more. */
  const ask = (): Promise<Findings> => {
    if (isClosing()) return Promise.resolve(stopping)
    asking ??= findings(ready, (err) => server.log.warn({ err }, 'the readiness check failed')).then((found) => {
      const askAgain = (): void => void (asking = null)
      if (found.failed.length === 0) setTimeout(askAgain, freshMs).unref()
      else askAgain()
      return found
    })
    return asking
  }

  const config = { isUrgent: true } as const
  const tags = ['operations']

  server.get(
    '/health',
    {
      config,
      schema: {
        operationId: 'get_health',
        tags,
        summary: 'Healthy while every part of the service answers',
        response: Health,
      },
    },
    async (_request, reply) => {
      const { failed } = await ask()
      if (failed.length === 0) return { status: 'healthy' as const }
      return reply.code(503).send({ status: 'unhealthy', failed: [...failed] })
    },
  )

  server.get(
    '/health/live',
    {
      config,
      schema: {
        operationId: 'get_liveness',
        tags,
        summary: 'The process runs',
        response: { 200: z.object({ status: z.literal('alive') }) },
      },
    },
    async () => ({ status: 'alive' as const }),
  )

  server.get(
    '/health/ready',
    {
      config,
      schema: {
        operationId: 'get_readiness',
        tags,
        summary: 'Whether requests can be served now, part by part',
        response: {
          200: z.object({ status: z.literal('ready'), parts: partsSchema }),
          503: z.object({ status: z.literal('not ready'), failed: failedSchema, parts: partsSchema }),
        },
      },
    },
    async (_request, reply) => {
      const { failed, parts } = await ask()
      if (failed.length === 0) return { status: 'ready' as const, parts }
      return reply.code(503).send({ status: 'not ready', failed: [...failed], parts })
    },
  )
}

const stopping: Findings = { parts: {}, failed: ['service is stopping'] }

async function findings(ready: Ready, onError: (error: unknown) => void): Promise<Findings> {
  try {
    const parts = await inTime(ready())
    return { parts, failed: Object.keys(parts).filter((name) => parts[name] !== true) }
  } catch (error) {
    onError(error)
    return { parts: {}, failed: ['readiness check'] }
  }
}

async function inTime<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${patienceMs} ms`)), patienceMs)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
