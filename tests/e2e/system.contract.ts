/** What the system does for its users: the same tests on every host, against processes that are started as users start them. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { auditServices } from '../kit/auditor.ts'
import { Client } from '../kit/client.ts'
import { openHost, type Host, type HostName } from '../kit/hosts.ts'
import { startSystem, type System } from '../kit/system.ts'
import { deliveriesContract } from './deliveries.contract.ts'
import { ordersContract } from './orders.contract.ts'

const minutes = 60_000

export interface Running {
  readonly system: System
  readonly client: Client
  /** The process that a service runs in. */
  processOf(service: string): string
}

/** @param orchestrators processes of each orchestrator */
export function systemContract(name: HostName, orchestrators = 1): void {
  describe(`a system on ${name}`, () => {
    let host: Host
    let running: Running

    beforeAll(async () => {
      host = await openHost(name, orchestrators)
      const system = await startSystem(host)
      running = { system, client: new Client(system), processOf: (service) => (host.apart ? service : 'all') }
    }, 4 * minutes)
    afterAll(async () => {
      await running?.system.destroy()
      await host?.remove()
    }, minutes)

    ordersContract(() => running)
    deliveriesContract(() => running, orchestrators)

    test('asked to end, every process ends in order; the auditor finds nothing', { timeout: 3 * minutes }, async () => {
      const codes = await running.system.stop()
      expect(codes, running.system.tails()).toEqual(codes.map(() => 0))
      const { problems, statuses, deliveries } = await auditServices(host.place)
      expect(problems).toEqual([])
      expect(Object.keys(statuses)).toContain('COMPLETED')
      expect(Object.keys(deliveries).toSorted()).toEqual(['COMPENSATED', 'COMPLETED', 'FAILED'])
    })
  })
}
