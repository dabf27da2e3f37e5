/** For tests of the Complete Order saga: a runner's view of the running services. */
import { expect } from 'vitest'
import { call, type Answered } from '../../shared/testing/call.ts'
import type { Embedded } from '../../shared/testing/embedded.ts'
import { insist } from '../../shared/testing/insist.ts'
import { shopOf, type Shop } from '../create-order/shop.testkit.ts'

/** What the stream tells of, and an answer of the start has in part. */
export interface Told {
  readonly sagaId: string
  readonly orderId: string
  readonly status: string
  readonly currentStep: string | null
  readonly updatedAt: string
  readonly error?: string
}

export interface StreamEvent {
  readonly id: number | null
  readonly data: Told
}

export interface Deliveries extends Shop {
  /** Places an order, which the runner takes and carries; gives the order's id. */
  carried(customer?: string, runner?: string): Promise<string>
  complete(orderId: unknown, more?: object): Promise<Answered>
  /** Completes an order that must be taken; gives the saga's id. */
  begin(orderId: string): Promise<string>
  /** All that the stream says until it ends. */
  follow(sagaId: string, lastEventId?: number): Promise<readonly StreamEvent[]>
  streamUrl(sagaId: string): string
}

export function deliveriesOf(at: Pick<Embedded, 'urls'>): Deliveries {
  const { urls } = at
  const shop = shopOf(at)
  const complete: Deliveries['complete'] = (orderId, more = {}) =>
    call('POST', `${urls.deliveries}/saga/complete/completeOrder`, { json: { orderId, ...more } })
  const streamUrl = (sagaId: string): string => `${urls.deliveries}/saga/complete/orderUpdateStream/${sagaId}`
  const must = async (path: string, json: object): Promise<void> => {
    const { status, text } = await insist(() => call('POST', `${urls.order}${path}`, { json }))
    expect([path, status, text]).toEqual([path, 200, text])
  }
  return {
    ...shop,
    async carried(customer = 'cust_123', runner_id = 'runner_123') {
      const { order_id: orderId } = await shop.sagaIn('COMPLETED', await shop.start(customer))
      await must('/verifyAndAcceptOrder', { orderId, runner_id })
      for (const status of ['PLACED', 'ON_THE_WAY']) await must('/updateOrderStatus', { orderId, status })
      return orderId ?? ''
    },
    complete,
    async begin(orderId) {
      const answer = await insist(() => complete(orderId))
      expect([answer.status, answer.text]).toEqual([200, expect.stringContaining('"sagaId":"')])
      return (answer.body as { readonly sagaId: string }).sagaId
    },
    async follow(sagaId, lastEventId) {
      const headers = lastEventId === undefined ? {} : { 'last-event-id': String(lastEventId) }
      return eventsIn((await insist(() => call('GET', streamUrl(sagaId), { headers }))).text)
    },
    streamUrl,
  }
}

/** What a stream has said; comments are none of it. */
export function eventsIn(text: string): readonly StreamEvent[] {
  return text
    .split('\n\n')
    .filter((block) => block !== '' && !block.startsWith(':'))
    .map((block) => {
      const [, id, data] = /^(?:id: (\d+)\n)?data: (.+)$/.exec(block) ?? []
      return { id: id === undefined ? null : Number(id), data: JSON.parse(data ?? '') as Told }
    })
}
