import { setTimeout as delay } from 'node:timers/promises'

/** Polls until it holds. @throws Error naming what was waited for, and what was there instead */
export async function until(
  what: string,
  withinMs: number,
  holds: () => boolean | Promise<boolean>,
  instead: () => string = () => '',
): Promise<void> {
  const deadline = performance.now() + withinMs
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`${what}: not within ${withinMs} ms. ${instead()}`)
    await delay(20)
  }
}
