/** The host on Temporal, held to the suite of all hosts: on a real server, and on the one whose time can be skipped. */
import { setTimeout as pause } from 'node:timers/promises'
import { temporalAddress, temporalTimeAddress, suiteOn } from '../../../tests/kit/parts.ts'
import { hostContract, type OpenHost } from '../host.contract.ts'
import { temporalHost } from './temporal-host.ts'
import { activitiesSaying, placeOn, skipTime, startWorker, workflowTypeOf, type Place } from './temporal.testkit.ts'

/** @param pass lets that many milliseconds pass on the server */
function hostOn(address: string, pass: (ms: number, place: Place) => Promise<unknown>): OpenHost {
  return async (definitions, says) => {
    const place = await placeOn(address)
    const worker = await startWorker(place, activitiesSaying(definitions, says))
    const { client, taskQueue } = place
    const host = temporalHost({ client, taskQueue, definitions, workflowType: workflowTypeOf, answerMs: 50_000 })
    return {
      host,
      async pass(ms) {
        await pass(ms, place)
      },
      async answer({ id, sagaId }, type, payload) {
        await host.deliver({ sagaId, id: `${id}:${type}`, type, payload, causationId: id })
      },
      async close() {
        await host.stop()
        await worker.stop()
        await place.close()
      },
    }
  }
}

suiteOn('Temporal', await temporalAddress(), 'on a real Temporal server', (address) => {
  hostContract(
    'Temporal',
    hostOn(address, (ms) => pause(ms)),
    { days: false },
  )
})

suiteOn("Temporal's test server", await temporalTimeAddress(), 'on the server whose time can be skipped', (address) => {
  hostContract(
    'Temporal',
    hostOn(address, (ms, place) => skipTime(place, ms)),
  )
})
