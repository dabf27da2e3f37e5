import { expect, test } from 'vitest'
import { inboxContract } from './inbox.contract.ts'
import { memoryInbox } from './memory-inbox.ts'

inboxContract('memory', async () => {
  let passed = 0
  return {
    inbox: memoryInbox({ clock: { now: () => Date.now() + passed } }),
    passes: async (ms) => (passed += ms),
    close: async () => undefined,
  }
})

const reply = (commandId: string) => ({ commandId, kind: 'done', type: 'ok', payload: null }) as const

test('a transaction that throws leaves no trace', async () => {
  const inbox = memoryInbox()
  await inbox.transaction(async (tx) => {
    tx.set('kept', 1)
    tx.set('deleted', 1)
  })
  const failing = inbox.transaction(async (tx) => {
    tx.set('kept', 2)
    tx.set('kept', 3)
    tx.set('new', 1)
    tx.delete('deleted')
    await inbox.save(tx, [reply('c1')])
    throw new Error('no')
  })
  await expect(failing).rejects.toThrow('no')
  expect([...inbox.table]).toEqual([
    ['kept', 1],
    ['deleted', 1],
  ])
  expect(inbox.replies.size).toBe(0)
})

test('a command id that is there already makes the save throw and the transaction roll back', async () => {
  const inbox = memoryInbox()
  await inbox.transaction((tx) => inbox.save(tx, [reply('c1')]))
  await expect(inbox.transaction((tx) => inbox.save(tx, [reply('c2'), reply('c1')]))).rejects.toThrow(
    'command c1 is in the inbox already',
  )
  expect([...inbox.replies.keys()]).toEqual(['c1'])
})

test('transactions run one after the other, past one that throws', async () => {
  const inbox = memoryInbox()
  const steps: string[] = []
  const slow = (name: string, fails: boolean) =>
    inbox.transaction(async () => {
      steps.push(`${name} begins`)
      await new Promise(setImmediate)
      steps.push(`${name} ends`)
      if (fails) throw new Error(name)
    })
  await Promise.allSettled([slow('one', true), slow('two', false)])
  expect(steps).toEqual(['one begins', 'one ends', 'two begins', 'two ends'])
})
