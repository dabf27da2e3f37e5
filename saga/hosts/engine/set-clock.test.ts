/** The wall clock is set while sagas wait: each retry comes in its own time. */
import { expect, test } from 'vitest'
import { memoryStore } from '../../stores/memory/memory-store.ts'
import { memoryTransport } from '../../transports/memory/memory-transport.ts'
import { milk, started, turns } from './engine.testkit.ts'
import { handClock, shopkeeper, shopSaga } from './shop.testkit.ts'

const hour = 3_600_000

/** When commands are sent, in milliseconds since the start: attempts of a second, with pauses of 100 and 200 ms between. */
const inTime = ['reserve 0', 'reserve 1100', 'reserve 2300', 'unreserve 3300']

interface Jump {
  readonly at: number
  readonly by: number
  readonly restart?: true
}

async function sentUnder(jumps: readonly Jump[]): Promise<readonly string[]> {
  const clock = handClock(10 * hour)
  const transport = memoryTransport({ clock })
  const sent: string[] = []
  await transport.subscribe('shop_commands', 'times', async (batch) => {
    for (const { type } of batch) sent.push(`${type} ${clock.elapsed()}`)
  })
  await shopkeeper(transport, { reserve: 'nothing' })
  const store = memoryStore(clock.now)
  let engine = await started({ store, transport, clock })
  const { id } = await engine.start(shopSaga, milk)
  for (let elapsed = 0; elapsed < 4_000; elapsed += 50) {
    await turns()
    for (const { by, restart } of jumps.filter(({ at }) => at === elapsed)) {
      clock.jump(by)
      if (restart !== true) continue
      await engine.stop()
      engine = await started({ store, transport, clock })
    }
    clock.advance(50)
  }
  await turns()
  expect((await engine.state(id))?.status).toBe('COMPENSATED')
  return sent
}

test.each<[string, readonly Jump[]]>([
  ['left alone', []],
  ['set back during an attempt', [{ at: 500, by: -hour }]],
  ['set back during a pause', [{ at: 1050, by: -hour }]],
  [
    'set back twice',
    [
      { at: 500, by: -hour },
      { at: 1500, by: -hour },
    ],
  ],
])('a clock that is %s', async (_what, jumps) => {
  expect(await sentUnder(jumps)).toEqual(inTime)
})

test('a clock that is set forward, and back later: the attempt under way ends at once, the others in their time', async () => {
  const sent = await sentUnder([
    { at: 0, by: hour },
    { at: 1500, by: -hour },
  ])
  expect(sent).toHaveLength(4)
  const times = sent.map((each) => Number(each.split(' ')[1]))
  const [first = 0, second = 0, third = 0, undo = 0] = times
  expect([second <= first + 2_100, third - second, undo - third]).toEqual([true, 1200, 1000])
})

test('a clock that is set back over a restart makes nobody wait longer than an attempt takes', async () => {
  const sent = await sentUnder([{ at: 500, by: -hour, restart: true }])
  // The second is the repeat after the restart.
  expect(sent.slice(2)).toEqual(['reserve 1600', 'reserve 2800', 'unreserve 3800'])
})
