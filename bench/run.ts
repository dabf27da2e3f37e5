/** One measured run: so many sagas, so many in flight, each awaited to its end. */
import type { SagaDefinition } from 'ordersaga/definition'
import type { Engine } from 'ordersaga/engine'
import { monitorEventLoopDelay } from 'node:perf_hooks'

export interface Figures {
  readonly inFlight: number
  readonly sagas: number
  readonly perSecond: number
  /** Milliseconds from the start's call to the end's arrival. */
  readonly medianMs: number
  readonly p99Ms: number
  /** The longest time that the event loop was held, in milliseconds. */
  readonly heldMs: number
}

/** @throws Error where a saga ends otherwise than expected: a wrong run has no figures */
export async function measure<Input>(
  engine: Engine,
  definition: SagaDefinition<Input>,
  input: Input,
  expected: string,
  inFlight: number,
  sagas: number,
): Promise<Figures> {
  const times: number[] = []
  let left = sagas
  const held = monitorEventLoopDelay({ resolution: 5 })
  held.enable()
  const began = performance.now()
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      while (left-- > 0) {
        const from = performance.now()
        const { saga } = await engine.start(definition, input)
        const { status } = await engine.result(saga.id)
        if (status !== expected) throw new Error(`saga ${saga.id} ended ${status}, not ${expected}`)
        times.push(performance.now() - from)
      }
    }),
  )
  const seconds = (performance.now() - began) / 1000
  held.disable()
  times.sort((a, b) => a - b)
  const at = (share: number): number => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0
  return { inFlight, sagas, perSecond: sagas / seconds, medianMs: at(0.5), p99Ms: at(0.99), heldMs: held.max / 1e6 - 5 }
}
