/** Work that asks for its turn leaves the event loop to others now and then, and connections come first. */
import { get } from 'node:http'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { pino } from 'pino'
import { expect, onTestFinished, test } from 'vitest'
import { errorAlone } from './http/error-shapes.ts'
import { openDatabase } from './database/database.ts'
import { listen } from './http/listen.ts'
import { createHttpServer } from './http/server.ts'
import { newFile } from './testing/ask.ts'
import { connectionCame, turn } from './turns.ts'

/** Holds the event loop as an embedded database does. */
function work(ms: number): void {
  const until = performance.now() + ms
  while (performance.now() < until);
}

/** Counts the turns of the event loop while something goes on. */
async function turnsDuring(goesOn: Promise<unknown>): Promise<number> {
  let [turns, over] = [0, false]
  void goesOn.finally(() => (over = true))
  for (; !over; turns += 1) await nextTurn()
  return turns
}

test('long work piece by piece leaves the event loop to others in between', async () => {
  const pieces = async (): Promise<void> => {
    for (let piece = 0; piece < 20; piece += 1) {
      await turn()
      work(6)
    }
  }
  expect(await turnsDuring(pieces())).toBeGreaterThan(8)
})

test('pieces that are asked for at once have their turns in order, some in each', async () => {
  const done: number[] = []
  const all = Promise.all(
    Array.from({ length: 20 }, async (_none, piece) => {
      await turn()
      work(6)
      done.push(piece)
    }),
  )
  expect(await turnsDuring(all)).toBeGreaterThan(8)
  expect(done).toEqual(done.toSorted((a, b) => a - b))
})

test('transactions of an embedded database, one after the other, leave the event loop to others in between', async () => {
  const database = await openDatabase<object>({ kind: 'sqlite', file: newFile('turns') }, {})
  onTestFinished(() => database.close())
  const transactions = async (): Promise<void> => {
    for (let count = 0; count < 10; count += 1) await database.db.transaction().execute(async () => work(6))
  }
  expect(await turnsDuring(transactions())).toBeGreaterThan(4)
})

test('while connections come in nothing is begun, but not for ever', async () => {
  let begun = false
  connectionCame()
  void turn().then(() => (begun = true))
  for (let count = 0; count < 20; count += 1) {
    await nextTurn()
    expect(begun).toBe(false)
    connectionCame()
  }
  await expect.poll(() => (connectionCame(), begun)).toBe(true)
})

test('health is asked over a new connection and answered before the requests of those that came before', async () => {
  const server = await createHttpServer({
    title: 'Test',
    version: '1.0.0',
    description: 'A server for tests',
    log: pino({ level: 'silent' }),
    ready: async () => ({}),
    errors: errorAlone,
  })
  onTestFinished(() => server.close())
  server.get('/slow', async () => work(10))
  const url = await listen(server, '127.0.0.1', 0)
  const ask = (path: string): Promise<unknown> =>
    new Promise((resolve, reject) => {
      get(url + path, { agent: false }, (answer) => answer.resume().on('end', resolve)).on('error', reject)
    })
  let answered = 0
  const others = Array.from({ length: 100 }, () => ask('/slow').then(() => (answered += 1)))
  await ask('/health/live')
  expect(answered).toBeLessThan(50)
  await Promise.all(others)
})
