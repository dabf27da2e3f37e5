/** The disk of the databases is full: who asks is told why at once, and what was acknowledged goes on when there is room. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { suiteOn } from '../../../tests/kit/parts.ts'
import { installedPart, startPrivatePart } from '../../../tests/kit/private-part.ts'
import { smallDisk, suiteOnSmallDisk, type SmallDisk } from '../../../tests/kit/small-disk.ts'
import { until } from '../../../tests/kit/until.ts'
import { call, type Answered } from '../../shared/testing/call.ts'
import { startEmbedded, type Embedded } from '../../shared/testing/embedded.ts'
import { burger, shopOf, type Shop } from './shop.testkit.ts'

const minute = 60_000
const postgresql = await installedPart('postgresql')
const full = 'the disk of the database is full, and nothing was changed: send it again in a moment'

interface Place {
  readonly megabytes: number
  /** Starts the services with their data on the disk. */
  readonly start: (disk: SmallDisk) => Promise<{ readonly system: Embedded; readonly remove: () => Promise<void> }>
}

function fullDiskCases({ megabytes, start }: Place): void {
  let disk: SmallDisk
  let place: Awaited<ReturnType<Place['start']>>
  let shop: Shop

  beforeAll(async () => {
    disk = smallDisk(megabytes)
    place = await start(disk)
    shop = shopOf(place.system)
  }, 4 * minute)
  afterAll(async () => {
    await place.system.close()
    await place.remove()
    disk.remove()
  }, 2 * minute)

  const readiness = async (): Promise<readonly number[]> =>
    Promise.all(Object.values(place.system.urls).map(async (url) => (await call('GET', `${url}/health/ready`)).status))

  /** Asks until it is refused; what fits into pages that have room is still taken. @returns the refusal, and what was taken */
  async function untilRefused(ask: () => Promise<Answered>): Promise<readonly [Answered, readonly Answered[]]> {
    const taken: Answered[] = []
    let answer = await ask()
    for (; answer.status < 400; answer = await ask()) taken.push(answer)
    return [answer, taken]
  }

  test(
    'orders are refused with the reason, nothing is ready, and all that was acknowledged ends well when there is room',
    { timeout: 5 * minute },
    async () => {
      const { urls, gate } = place.system
      const headers = { 'idempotency-key': 'refused at first' }
      const before = await shop.start('cust_123')
      await shop.sagaIn('COMPLETED', before)
      gate.hold('order.created')
      const underWay = await shop.start('cust_123')
      await expect.poll(() => gate.held('order.created').length).toBe(1)
      disk.fill()
      gate.release('order.created')

      const [refused, taken] = await untilRefused(() => shop.place('cust_123'))
      expect([refused.status, refused.body]).toEqual([503, { success: false, error: full }])
      expect(refused.headers.get('retry-after')).toBe('2')
      const keyed = await shop.place('cust_123', burger, headers)
      expect([keyed.status, keyed.body]).toEqual([503, { success: false, error: full }])
      const json = { customer_id: 'cust_123', order_details: burger }
      const [other, orders] = await untilRefused(() => call('POST', `${urls.order}/createOrder`, { json }))
      expect([other.status, other.text]).toEqual([503, expect.stringContaining(full)])
      await until('nothing is ready', minute, async () => (await readiness()).every((status) => status === 503))
      expect((await call('GET', `${urls.sagas}/health/live`)).status).toBe(200)
      expect((await shop.saga(before)).status).toBe('COMPLETED')

      expect((await shop.saga(underWay)).status).toBe('STARTED')

      disk.makeRoom()
      await until('everything is ready', minute, async () => (await readiness()).every((status) => status === 200))
      const placed = await shop.place('cust_123', burger, headers)
      expect(placed.status).toBe(202)
      expect((await shop.place('cust_123', burger, headers)).body).toEqual(placed.body)
      await shop.sagaIn('COMPLETED', underWay)
      for (const { body } of [...taken, placed])
        await shop.sagaIn('COMPLETED', (body as { readonly saga_id: string }).saga_id)
      for (const { body } of orders)
        expect(await shop.orderStatus((body as { readonly order_id: string }).order_id)).toBe('PENDING')
      expect(await shop.count()).toBe(taken.length + 3)
      expect(await shop.problems()).toEqual([])
    },
  )
}

suiteOnSmallDisk('files on a disk that is full', () => {
  fullDiskCases({
    megabytes: 6,
    start: async ({ folder }) => ({ system: await startEmbedded({ within: folder }), remove: async () => undefined }),
  })
})

suiteOnSmallDisk('a PostgreSQL whose disk is full', () => {
  suiteOn('PostgreSQL', postgresql, 'on a server of its own', () => {
    fullDiskCases({
      megabytes: 400,
      async start({ folder }) {
        const postgres = await startPrivatePart('postgresql', { within: folder })
        const system = await startEmbedded({ postgresUrl: postgres.url })
        return { system, remove: postgres.remove }
      },
    })
  })
})
