/**
 * Does work again and again, one at a time, with the pause in milliseconds that it gives back. It does not keep a process
 * from ending.
 *
 * @param work says by itself what went wrong, and never throws
 * @returns what stops it, once the work in hand is done
 */
export function repeat(work: () => Promise<number>): () => Promise<void> {
  let stopped = false
  let timer: NodeJS.Timeout | undefined
  let working = run()

  async function run(): Promise<void> {
    const pauseMs = await work()
    if (!stopped) timer = setTimeout(() => void (working = run()), pauseMs).unref()
  }

  return async () => {
    stopped = true
    clearTimeout(timer)
    await working
  }
}
