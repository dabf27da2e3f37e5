import { expect, test } from 'vitest'
import { callerBy } from './caller.ts'
import type { Verdict } from './verifier.ts'

const user = { subject: 'u', email: 'ada@example.com', roles: ['customer'] } as const
const by = (verdict: Verdict, acceptUnnamed = false) =>
  callerBy({ verify: async () => verdict, acceptUnnamed }, 'token')

test('a user is who calls', async () => {
  expect(await by({ kind: 'user', user })).toEqual(user)
})

test('somebody without a name calls only where that is enough', async () => {
  expect(await by({ kind: 'somebody', role: 'vendor' }, true)).toBeNull()
  await expect(by({ kind: 'somebody', role: 'vendor' })).rejects.toMatchObject({ status: 403 })
})

test('a token that is not good is 401; one of which nothing is known is 503, to be sent again', async () => {
  await expect(by({ kind: 'refused', why: 'no' }, true)).rejects.toMatchObject({ status: 401, message: 'no' })
  await expect(by({ kind: 'unknown', why: 'away' }, true)).rejects.toMatchObject({
    status: 503,
    message: 'away',
    retryAfterSeconds: 2,
  })
})
