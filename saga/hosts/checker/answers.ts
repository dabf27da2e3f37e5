/** What participants and the outside may say to a saga, with payloads that its contracts take. */
import type { CommandContract, EventContract, ReplyMessage } from '../../core/contract.ts'
import { check, readReply } from '../../core/contract.ts'
import { readInput } from '../../core/decide.ts'
import type { SagaDefinition, StepDefinition } from '../../core/definition.ts'
import type { Command, Direction } from '../../core/pending.ts'
import { sampleOf } from './sample.ts'

/** Payloads of a step's answers, for those that the checker does not find by itself. */
export interface StepSamples {
  readonly done?: unknown
  readonly rejected?: unknown
  readonly undone?: unknown
  readonly undoRejected?: unknown
  /** The settlement query's answers: it has taken effect, or not. */
  readonly found?: unknown
  readonly notFound?: unknown
  /** The payload of the event that the step waits for. */
  readonly event?: unknown
}

/** The checker needs to be told a payload: it found none that the schema and the contract take. */
export class SampleError extends Error {
  override readonly name = 'SampleError'
}

type Kind = 'done' | 'rejected'

const sampleNames: Readonly<Record<Direction, Readonly<Record<Kind, keyof StepSamples>>>> = {
  do: { done: 'done', rejected: 'rejected' },
  undo: { done: 'undone', rejected: 'undoRejected' },
  query: { done: 'found', rejected: 'notFound' },
}

export interface Samples {
  readonly steps: Readonly<Record<string, StepSamples>>
  /** Payloads of events that something follows, by their type. */
  readonly events: Readonly<Record<string, unknown>>
}

type TypedPayload = Pick<ReplyMessage, 'type' | 'payload'>

export class Answers {
  readonly #definition: SagaDefinition
  readonly #samples: Samples
  readonly #answers = new Map<string, TypedPayload>()
  readonly #events = new Map<string, unknown>()
  /** What each command asked for last. */
  readonly #asked = new Map<string, unknown>()

  constructor(definition: SagaDefinition, samples: Samples) {
    this.#definition = definition
    this.#samples = samples
  }

  /** The input to start with: what was given, or what its schema takes. As the schema reads it. */
  input(given: unknown): unknown {
    const value = given ?? sampleOf(this.#definition.input)?.value
    const read = readInput(this.#definition, value)
    if (read.ok) return read.value
    throw new SampleError(
      `no input for saga ${this.#definition.name} was found (${read.why}); give one that its schema takes: { input: ... }.`,
    )
  }

  /** To be told of each command that is sent. */
  learn({ step, direction, payload }: Command): void {
    this.#asked.set(`${step} ${direction}`, payload)
  }

  /** An answer to a command of a step. */
  to(step: StepDefinition, direction: Direction, kind: Kind, causationId: string | undefined): ReplyMessage {
    const contract = (direction === 'do' ? step.do : direction === 'undo' ? step.undo : step.query) as CommandContract
    const asked = this.#asked.get(`${step.name} ${direction}`)
    const name = sampleNames[direction][kind]
    const key = `${step.name} ${name} ${JSON.stringify(asked)}`
    const answer = this.#answers.get(key) ?? this.#answer(step, contract, kind, name, asked)
    this.#answers.set(key, answer)
    return { ...answer, causationId }
  }

  #answer(
    step: StepDefinition,
    contract: CommandContract,
    kind: Kind,
    name: keyof StepSamples,
    asked: unknown,
  ): TypedPayload {
    const spec = kind === 'done' ? contract.done : contract.rejected
    // Nobody answers it; who resolves it by hand says no more than that it was done.
    if (spec === null || spec.type === '') return { type: '', payload: null }
    const given = this.#samples.steps[step.name]?.[name]
    for (const type of [spec.type, ...spec.also]) {
      const fits = (payload: unknown): boolean =>
        readReply(contract, asked, { type, payload }).kind === kind && this.#isKept(step, name, payload)
      if (given !== undefined && fits(given)) return { type, payload: given }
      const found = given === undefined ? sampleOf(spec.data, { like: asked, fits }) : null
      if (found !== null) return { type, payload: found.value }
    }
    throw new SampleError(
      `${given === undefined ? 'no payload was found' : 'the payload that was given is none'} with which ${spec.type} answers ${contract.type} of step ${step.name} as ${kind}; give one that its schema, belongs and verdict take: { samples: { ${step.name}: { ${name}: ... } } }.`,
    )
  }

  /** What the step's own `keep` cannot read is no answer that a walk could go on with. */
  #isKept(step: StepDefinition, name: keyof StepSamples, payload: unknown): boolean {
    if (name !== 'done' && name !== 'found') return true
    try {
      const data = check((step.do as CommandContract).done.data, payload)
      if (data.ok) step.keep(data.value)
      return data.ok
    } catch {
      return false
    }
  }

  /** An event from outside. */
  event(contract: EventContract, id: string): ReplyMessage {
    const { type } = contract
    if (!this.#events.has(type)) this.#events.set(type, this.#event(contract))
    return { type, payload: this.#events.get(type), id }
  }

  #event({ type, data }: EventContract): unknown {
    const waits = this.#definition.byEvent.get(type) ?? []
    const given = waits.map((step) => this.#samples.steps[step.name]?.event).find((each) => each !== undefined)
    const sample = this.#samples.events[type] ?? given
    const found = sample === undefined ? sampleOf(data) : { value: sample }
    if (found !== null && check(data, found.value).ok) return found.value
    throw new SampleError(
      `no payload of the event ${type} was found that its schema takes; give one: { events: { ${type}: ... } }.`,
    )
  }
}
