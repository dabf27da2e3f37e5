/**
 * Asks for the health of a service again and again, as what looks after a process does: over a connection of its own each
 * time. A process of its own, so that no load of the bench's client makes an answer look late. Prints milliseconds, a line each.
 *
 *   node prober.ts http://127.0.0.1:3101/health/live
 */
import { get } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'

const everyMs = 50

const [, , url = ''] = process.argv

async function probe(): Promise<number> {
  const began = performance.now()
  await new Promise<void>((resolve, reject) => {
    get(url, { agent: false }, (answer) => {
      answer.resume().on('end', resolve)
      if (answer.statusCode !== 200) reject(new Error(`answered ${answer.statusCode}`))
    }).on('error', reject)
  })
  return performance.now() - began
}

for (;;) {
  const next = delay(everyMs)
  process.stdout.write(`${await probe().catch((error: Error) => error.message)}\n`)
  await next
}
