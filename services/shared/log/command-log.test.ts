import { participantContract } from 'ordersaga/contract'
import { done, handle, rejected } from 'ordersaga/participant'
import { memoryInbox } from 'ordersaga/participant/memory-inbox'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { logCommands } from './command-log.ts'
import { logOptions } from './log.ts'

const shop = participantContract('shop', { tombstones: true })
const pay = shop.command('pay', {
  payload: z.object({ card: z.string() }),
  done: ['paid', z.object({})],
  rejected: ['declined', z.object({ error: z.string() })],
})

function logged() {
  const lines: Readonly<Record<string, unknown>>[] = []
  const log = pino(logOptions('shop', 'info'), {
    write: (line: string) => void lines.push(JSON.parse(line) as Readonly<Record<string, unknown>>),
  })
  const { inbox, handlers } = logCommands(log, {
    inbox: memoryInbox(),
    handlers: [handle(pay, async (_tx, { payload }) => (payload.card === 'good' ? done({}) : rejected('no money')))],
  })
  const obey = (card: string, after: () => void = () => undefined) =>
    inbox.transaction(async (tx) => {
      const command = { id: 'saga-1:pay:do', sagaId: 'saga-1', payload: { card }, undoes: null, original: null }
      await handlers[0]?.applyAll(tx, [command], [])
      after()
    })
  return { lines, obey }
}

test('a command that was obeyed or refused is a line with its saga, and nothing of its payload', async () => {
  const { lines, obey } = logged()
  await obey('good')
  await obey('bad')
  const line = {
    level: 30,
    command: 'pay',
    sagaId: 'saga-1',
    traceId: 'saga1',
    messageId: 'saga-1:pay:do',
    msg: 'command',
  }
  expect(lines).toMatchObject([
    { ...line, outcome: 'done' },
    { ...line, outcome: 'rejected', reason: 'no money' },
  ])
  expect(JSON.stringify(lines)).not.toContain('good')
})

test('what was not committed is not told of', async () => {
  const { lines, obey } = logged()
  const broken = obey('good', () => {
    throw new Error('the disk is full')
  })
  await expect(broken).rejects.toThrow('the disk is full')
  expect(lines).toEqual([])
})
