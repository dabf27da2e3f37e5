/** Asks every service behind the front door how it is: all at once, and none for longer than a moment. */
import { z } from 'zod'
import type { Upstream } from './upstream.ts'

export const Condition = z.object({
  live: z.boolean().describe('It answers'),
  ready: z.boolean().describe('It can do its work now'),
  why: z.string().optional().describe('What is wrong, where something is'),
})
export type Condition = z.infer<typeof Condition>

/** By the names of the services. */
export type Survey = () => Promise<Readonly<Record<string, Condition>>>

/** Less than a readiness check may take as a whole. */
const defaultPatienceMs = 1_500

/** Who asks while the services are being asked shares the answer: a page that many look at is no way to load them. */
export function surveyOf(upstreams: readonly Upstream[], patienceMs = defaultPatienceMs): Survey {
  let asking: ReturnType<Survey> | null = null
  const ask = async (): ReturnType<Survey> =>
    Object.fromEntries(
      await Promise.all(upstreams.map(async ({ name, url }) => [name, await conditionAt(url, patienceMs)] as const)),
    )
  return () => {
    asking ??= ask().finally(() => {
      asking = null
    })
    return asking
  }
}

const NotReady = z.object({ failed: z.array(z.string()) })

async function conditionAt(url: string, patienceMs: number): Promise<Condition> {
  const signal = AbortSignal.timeout(patienceMs)
  try {
    const answer = await fetch(`${url}/health/ready`, { signal, redirect: 'error' })
    if (answer.ok) {
      await answer.body?.cancel()
      return { live: true, ready: true }
    }
    const { failed } = NotReady.parse(await answer.json())
    return { live: true, ready: false, why: `does not work: ${failed.join(', ').slice(0, 200)}` }
  } catch (error) {
    return { live: false, ready: false, why: signal.aborted ? `no answer within ${patienceMs} ms` : reasonOf(error) }
  }
}

/** fetch hides what happened one level down. */
function reasonOf(error: unknown): string {
  const { code } = Object((error as Error).cause) as { readonly code?: unknown }
  return typeof code === 'string' ? `cannot be reached (${code})` : 'answers what none of our services would'
}
