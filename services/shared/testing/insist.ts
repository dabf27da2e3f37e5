import { setTimeout as delay } from 'node:timers/promises'

/** Answers that mean "not now: send it again". */
const later = new Set([502, 503, 504])

export const isLater = (status: number): boolean => later.has(status)

/**
 * As a client does who is told to try again in a moment.
 *
 * @returns the first answer that says something else, or the last one in a minute
 */
export async function insist<Answer extends { readonly status: number }>(ask: () => Promise<Answer>): Promise<Answer> {
  const deadline = performance.now() + 60_000
  for (;;) {
    const answer = await ask()
    if (!isLater(answer.status) || performance.now() > deadline) return answer
    await delay(200)
  }
}
