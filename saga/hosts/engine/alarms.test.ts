import { expect, test } from 'vitest'
import { Alarms } from './alarms.ts'
import { handClock } from './shop.testkit.ts'

const week = 7 * 86_400_000

function setUp() {
  const clock = handClock(0)
  const woken: string[] = []
  const alarms = new Alarms(clock, (id) => woken.push(id))
  return { clock, woken, alarms }
}

test('sagas that ended long before their time leave nothing behind', () => {
  const { alarms } = setUp()
  for (let index = 0; index < 10; index += 1) alarms.set(`live-${index}`, week)
  for (let index = 0; index < 10_000; index += 1) {
    alarms.set(`saga-${index}`, week)
    alarms.set(`saga-${index}`, null)
  }
  expect(alarms.size).toBe(10)
  expect(alarms.entries).toBeLessThanOrEqual(20)
})

test('each saga is woken once, in the order of the times, whatever was set before and whoever ended', () => {
  const { alarms, clock, woken } = setUp()
  for (let index = 0; index < 100; index += 1) {
    alarms.set(`saga-${index}`, 10_000 - index)
    alarms.set(`saga-${index}`, 500 + ((index * 37) % 100))
    alarms.set(`saga-${index}`, 1000 + ((index * 37) % 100))
    if (index % 4 > 0) alarms.set(`saga-${index}`, null)
  }
  clock.advance(999)
  expect(woken).toEqual([])
  for (let ms = 0; ms < 200; ms += 1) clock.advance(1)
  const expected = Array.from({ length: 25 }, (_, index) => index * 4)
  expect(woken).toEqual(
    expected.toSorted((a, b) => ((a * 37) % 100) - ((b * 37) % 100)).map((index) => `saga-${index}`),
  )
  clock.advance(week)
  expect(woken).toHaveLength(25)
})

test('what is set after the end wakes nobody', () => {
  const { alarms, clock, woken } = setUp()
  alarms.stop()
  alarms.set('late', 10)
  clock.advance(week)
  expect([woken, alarms.size]).toEqual([[], 0])
})

test('a clock that jumps forward, or a machine that has slept, is noticed within seconds', () => {
  const { alarms, clock, woken } = setUp()
  alarms.set('attempt', 10_000)
  alarms.set('later', 2 * 3_600_000)
  clock.jump(3_600_000)
  clock.advance(2_000)
  expect(woken).toEqual(['attempt'])
  clock.advance(3_600_000)
  expect(woken).toEqual(['attempt', 'later'])
})

test('a clock that is set back keeps nobody waiting: what was to be waited for has passed', () => {
  const { alarms, clock, woken } = setUp()
  alarms.set('attempt', 10_000)
  clock.jump(-3_600_000)
  clock.advance(9_999)
  expect(woken).toEqual([])
  clock.advance(1)
  expect(woken).toEqual(['attempt'])
})

test('what is set after a jump goes by the clock as it is now', () => {
  const { alarms, clock, woken } = setUp()
  alarms.set('before', 500)
  clock.jump(3_600_000)
  alarms.set('after', 3_600_000 + 5_000)
  clock.advance(4_999)
  expect(woken).toEqual(['before'])
  clock.advance(1)
  expect(woken).toEqual(['before', 'after'])
})
