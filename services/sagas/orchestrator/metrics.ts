/** What Prometheus is told of the sagas of a process (`alerts.yaml` says what somebody should look at). */
import type { Engine, SagaMoved } from 'ordersaga/engine'
import type { Event } from 'ordersaga/events'
import { stepOf } from 'ordersaga/core'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'

/** A store that does not answer shall not keep the other figures. */
const patienceMs = 1_000

const stepBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800]
const sagaBuckets = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 86_400]

const endings: Readonly<Partial<Record<Event['type'], string>>> = {
  SagaCompleted: 'COMPLETED',
  SagaCompensated: 'COMPENSATED',
  SagaCancelled: 'CANCELLED',
  SagaFailed: 'FAILED',
}

export interface SagaMetrics {
  readonly registry: Registry
  /** Counts a move, once it is durable. */
  moved(move: SagaMoved): void
  /** Reads the figures of an engine from now on. */
  watch(engine: Engine): void
}

export function sagaMetrics(definitions: readonly string[]): SagaMetrics {
  const registry = new Registry()
  const moves = movesIn(registry)
  return {
    registry,
    moved: (move) => {
      for (const event of move.events) moves.count(event, move)
    },
    watch: (engine) => watchEngine(registry, engine, definitions),
  }
}

function movesIn(registry: Registry) {
  const registers = [registry]
  const counter = <Label extends string>(name: string, help: string, ...labelNames: Label[]) =>
    new Counter({ name: `ordersaga_${name}_total`, help, labelNames, registers })
  const started = counter('sagas_started', 'Sagas that began here', 'definition')
  const ended = counter('sagas_ended', 'Sagas that ended here, by how', 'definition', 'status')
  const parked = counter('sagas_parked', 'How often a saga parked here', 'definition', 'step')
  const retries = counter('step_retries', 'Commands that were sent again', 'definition', 'step', 'direction')
  const unknowns = counter('step_unknowns', 'Attempts whose outcome stayed unknown', 'definition', 'step')
  const steps = new Histogram({
    name: 'ordersaga_step_duration_seconds',
    help: 'From the first attempt at a step to its outcome',
    labelNames: ['definition', 'step', 'outcome'],
    buckets: stepBuckets,
    registers,
  })
  const sagas = new Histogram({
    name: 'ordersaga_saga_duration_seconds',
    help: 'From the start of a saga to its end',
    labelNames: ['definition', 'status'],
    buckets: sagaBuckets,
    registers,
  })

  function lasted(step: string, outcome: string, { at, state }: SagaMoved): void {
    const { since, round = 1 } = stepOf(state, step)
    // Asked again after it was done, a step keeps the time at which it was first asked.
    if (round === 1) steps.observe({ definition: state.definition, step, outcome }, Math.max(at - since, 0) / 1000)
  }

  function count(event: Event, move: SagaMoved): void {
    const { definition, startedAt } = move.state
    const status = endings[event.type]
    if (status !== undefined) {
      ended.inc({ definition, status })
      sagas.observe({ definition, status }, Math.max(move.at - startedAt, 0) / 1000)
    } else if (event.type === 'SagaStarted') started.inc({ definition })
    else if (event.type === 'SagaParked') parked.inc({ definition, step: event.step })
    else if (event.type === 'StepAsked' && event.attempt > 1)
      retries.inc({ definition, step: event.step, direction: 'do' })
    else if (event.type === 'UndoAsked' && event.attempt > 1)
      retries.inc({ definition, step: event.step, direction: 'undo' })
    else if (event.type === 'StepUnknown') unknowns.inc({ definition, step: event.step })
    else if (event.type === 'StepDone') lasted(event.step, 'done', move)
    else if (event.type === 'StepRejected' && event.retryAt === null) lasted(event.step, 'rejected', move)
  }
  return { count }
}

function watchEngine(registry: Registry, engine: Engine, definitions: readonly string[]): void {
  const labelled = (
    name: string,
    help: string,
    labelNames: string[],
    collect: (to: Gauge) => void | Promise<void>,
  ): void => {
    const made: Gauge = new Gauge({ name, help, labelNames, registers: [registry], collect: () => collect(made) })
  }
  const gauge = (name: string, help: string, figure: () => number): void =>
    labelled(name, help, [], (to) => to.set(figure()))
  gauge('ordersaga_waking_sagas', 'Sagas of this process that have a wake-up.', () => engine.figures().waking)
  gauge(
    'ordersaga_running_sagas',
    'Sagas that wait for an answer, as far as this process knows.',
    () => engine.figures().running,
  )
  gauge('ordersaga_queued_inputs', 'Inputs that wait for the next batch.', () => engine.figures().queued)
  gauge('ordersaga_batches_total', 'Batches that were decided together.', () => engine.figures().batches)
  gauge('ordersaga_batched_inputs_total', 'Inputs that were in those batches.', () => engine.figures().inputs)
  labelled(
    'ordersaga_waiting_sagas',
    'Sagas that wait for the answer of a step, as far as this process knows.',
    ['definition', 'step', 'direction'],
    (to) => {
      to.reset()
      for (const { sagas, ...place } of engine.figures().waiting) to.set(place, sagas)
    },
  )
  labelled(
    'ordersaga_parked_sagas',
    'Sagas in the store that need an operator; the same from every process that shares it.',
    ['definition'],
    async (to) => {
      to.reset()
      for (const definition of definitions) {
        const count = await within(engine.count({ definition, status: 'PARKED' }))
        if (count !== null) to.set({ definition }, count)
      }
    },
  )
  labelled('ordersaga_owner', 'The name under which this process owns sagas in the store.', ['owner'], (to) => {
    to.reset()
    to.set({ owner: engine.owner }, 1)
  })
}

/** Null where it is not there in time, or not at all: no figure is better than an old one. */
async function within<T>(work: Promise<T>): Promise<T | null> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<null>((resolve) => (timer = setTimeout(() => resolve(null), patienceMs)))
  try {
    return await Promise.race([work, late])
  } catch {
    return null
  } finally {
    clearTimeout(timer)
  }
}
