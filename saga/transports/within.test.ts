import { expect, test } from 'vitest'
import { handClock } from './hand-clock.testkit.ts'
import { pause, settledWithin, within } from './within.ts'

const never = new Promise<never>(() => undefined)

test('what comes in time is given, and its alarm is called off', async () => {
  const { clock, delays } = handClock()
  expect(await within(clock, 50, Promise.resolve(7))).toBe(7)
  await expect(within(clock, 50, Promise.reject(new Error('no')))).rejects.toThrow('no')
  expect(delays()).toEqual([])
})

test('what comes late is an error that names it', async () => {
  const { clock, delays, ring } = handClock()
  const late = within(clock, 50, never, 'joining the group')
  expect(delays()).toEqual([50])
  ring()
  await expect(late).rejects.toThrow('joining the group took longer than 50 ms')
})

test('where it does not matter how it ends, neither a failure nor the time is an error', async () => {
  const { clock, ring } = handClock()
  await settledWithin(clock, 50, Promise.reject(new Error('no')))
  const late = settledWithin(clock, 50, never)
  ring()
  await late
})

test('a pause ends by the clock, or as soon as it is called off', async () => {
  const { clock, delays, ring } = handClock()
  const whole = pause(clock, 50)
  ring()
  await whole
  const stop = new AbortController()
  const calledOff = pause(clock, 50, stop.signal)
  expect(delays()).toEqual([50])
  stop.abort()
  await calledOff
  expect(delays()).toEqual([])
  await pause(clock, 50, stop.signal)
  expect(delays()).toEqual([])
})
