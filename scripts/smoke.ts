/**
 * Does what a newcomer does with the README: starts the product, reads what it prints, places an order with the printed curl
 * line, starts it twice, ends it by Ctrl-C, starts it again. Prints a line per check, and the totals last.
 *
 * It needs the ports of the services free, and leaves nothing behind.
 */
import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

const curl = `curl --silent --show-error -X POST http://localhost:3101/api/orders \\
  -H "Content-Type: application/json" \\
  -d '{
    "customer_id": "cust_123",
    "order_details": {
      "foodItems": [
        {
          "name": "Burger",
          "price": 12.99,
          "quantity": 1
        }
      ],
      "deliveryLocation": "North Campus"
    }
  }'`

const startMs = 10_000
const patienceMs = 60_000

interface Run {
  readonly output: () => string
  /** Milliseconds from the start until the words were printed. */
  prints(words: RegExp, withinMs?: number): Promise<number>
  /** The exit code; null where a signal ended it. */
  exits(): Promise<number | null>
  signal(name: NodeJS.Signals): void
}

const running = new Set<Run>()

/** `npm start`, its output into pipes, in a process group of its own so that a signal reaches what Ctrl-C reaches. */
function npmStart(folder: string, variables: Record<string, string> = {}): Run {
  const began = performance.now()
  const child = spawn('npm', ['start', '--silent'], {
    detached: true,
    env: { ...process.env, ORDERSAGA_DIR: folder, ...variables },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  let ended: { code: number | null } | null = null
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => void (output += String(chunk)))
  child.on('close', (code) => {
    ended = { code }
    running.delete(run)
  })
  const run: Run = {
    output: () => output,
    async prints(words, withinMs = patienceMs) {
      await until(`${words} in what it prints`, withinMs, () => words.test(output) || ended !== null)
      if (!words.test(output)) throw new Error(`it ended without printing ${words}`)
      return performance.now() - began
    },
    async exits() {
      await until('its end', patienceMs, () => ended !== null)
      return ended?.code ?? null
    },
    signal(name) {
      if (child.pid !== undefined && ended === null) process.kill(-child.pid, name)
    },
  }
  running.add(run)
  return run
}

async function until(what: string, withinMs: number, holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + withinMs
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`waited ${withinMs / 1000} s for ${what}`)
    await delay(50)
  }
}

let passed = 0
let failed = 0

async function check(fact: string, run: () => unknown, output?: () => string): Promise<void> {
  try {
    await run()
    passed += 1
    console.log(`  ok      ${fact}`)
  } catch (error) {
    failed += 1
    console.log(`  FAILED  ${fact}: ${error instanceof Error ? error.message : String(error)}`)
    const printed = output?.().trimEnd()
    if (printed !== undefined) console.log(printed.replaceAll(/^/gm, '          | '))
  }
}

function equal(seen: unknown, wanted: unknown): void {
  if (seen !== wanted) throw new Error(`expected ${JSON.stringify(wanted)}, saw ${JSON.stringify(seen)}`)
}

async function status(sagaId: string): Promise<unknown> {
  const response = await fetch(`http://localhost:3101/api/sagas/${sagaId}`)
  const saga = (await response.json()) as { status?: unknown }
  return saga.status
}

/** What a curl line is answered. */
const answered = (line: string): Readonly<Record<string, unknown>> =>
  JSON.parse(execFileSync('bash', ['-c', line], { encoding: 'utf8' })) as Record<string, unknown>

/** Sends an order by a curl line; gives the saga's id. */
function started(line: string): string {
  const answer = answered(line)
  equal(answer['success'], true)
  equal(answer['status'], 'STARTED')
  return String(answer['saga_id'])
}

/** The first such line that is offered for copying. */
function printed(output: string, curl: RegExp): string {
  const [line] = curl.exec(output) ?? []
  if (line === undefined) throw new Error(`no line ${curl} is printed`)
  return line.replace('curl', 'curl --silent --show-error')
}

/** The first POST of an order, with the lines it goes on over. */
const printedCurl = (output: string): string => printed(output, /curl -X POST \S+\/api\/orders(?:.*\\\n)*.*/)

/** One line that says what is wrong, and exit code 2. */
async function refuses(run: Run, words: RegExp): Promise<void> {
  equal(await run.exits(), 2)
  const lines = run.output().trim().split('\n')
  if (lines.length !== 1) throw new Error(`expected one line, saw ${lines.length}`)
  if (!words.test(lines[0] ?? '')) throw new Error(`expected a line with ${words}`)
}

async function firstStart(folder: string): Promise<void> {
  const first = npmStart(folder)
  const says = (words: RegExp, withinMs?: number) => () => first.prints(words, withinMs)
  await check(`an order is COMPLETED within ${startMs / 1000} s`, says(/\bCOMPLETED\b/, startMs), first.output)
  await check('an order with a declining card is COMPENSATED', says(/\bCOMPENSATED\b/), first.output)
  await check('the books balance', says(/books balance/i), first.output)
  await check('it stays up and says so', says(/Ctrl-C/), first.output)
  await check('no colour codes go into a pipe', () => equal(first.output().includes('\u001B['), false), first.output)

  let sagaId = ''
  await check('the curl line it prints starts an order', () => started(printedCurl(first.output())), first.output)
  await check('the curl line of the documents starts an order', () => {
    sagaId = started(curl)
  })
  await check('that order reaches COMPLETED', () =>
    until('COMPLETED', patienceMs, async () => (await status(sagaId)) === 'COMPLETED'),
  )

  let token = ''
  await check('the log-in line of a customer gives a token', () => {
    token = String(answered(printed(first.output(), /curl -X POST \S+\/login .*"customer@.*/))['access_token'])
  })
  await check('with it, the line that orders from stock orders', () => {
    const line = printed(first.output(), /curl -X POST \S+\/orders\/create_order(?:.*\\\n)*.*/)
    equal(answered(line.replace('eyJ…', token))['status'], 'success')
  })
  const restock = /curl -X POST \S+\/product\/stock\/.*/
  await check('stock is not changed without a token, nor by a customer', () => {
    for (const shown of ['none', token])
      equal(answered(printed(first.output(), restock).replace('eyJ…', shown))['status'], 'error')
  })
  await check('its vendor changes it by the lines that it prints', () => {
    const vendor = answered(printed(first.output(), /curl -X POST \S+\/login .*"vendor@.*/))
    const line = printed(first.output(), restock).replace('eyJ…', String(vendor['access_token']))
    equal(answered(line)['status'], 'success')
  })

  const second = npmStart(folder)
  await check('a second start beside it says why it cannot', () => refuses(second, /\w/), second.output)
  await check('the first is not disturbed by it', async () => equal(await status(sagaId), 'COMPLETED'))

  first.signal('SIGINT')
  await check('Ctrl-C ends it with exit code 0', async () => equal(await first.exits(), 0), first.output)

  const again = npmStart(folder)
  await check('the next start finds the earlier orders', () => again.prints(/earlier orders?/i), again.output)
  await check('and still answers for them', () =>
    until('the order', patienceMs, async () => (await status(sagaId).catch(() => null)) === 'COMPLETED'),
  )
  again.signal('SIGTERM')
  await check(
    'SIGTERM in the middle of an order ends it with exit code 0',
    async () => equal(await again.exits(), 0),
    again.output,
  )
}

const folder = mkdtempSync(join(tmpdir(), 'ordersaga-smoke-'))
try {
  const bad = npmStart(folder, { CREATE_ORDER_PORT: 'abc' })
  await check('a bad variable is named', () => refuses(bad, /CREATE_ORDER_PORT/), bad.output)
  await firstStart(folder)
} finally {
  for (const run of running) run.signal('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
}
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
