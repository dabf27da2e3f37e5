/** The definitions that a process runs, checked once: what each saga needs of them is found here. */
import type { CommandContract, EventContract, ReplyMessage } from '../../core/contract.ts'
import type { SagaDefinition, StepDefinition, Structure } from '../../core/definition.ts'
import type { SagaState } from '../../core/state.ts'
import { differences } from './differences.ts'
import type { DefinitionVersion, KnownDefinition, StructureConflict } from '../../stores/store.ts'
import { EngineError } from './errors.ts'

const keyOf = (name: string, version: number): string => `${name}@${version}`

/** A definition as it is told of. */
export const named = ({ definition, version }: DefinitionVersion): string => `${definition} version ${version}`

export class Registry {
  readonly #definitions = new Map<string, SagaDefinition>()
  /** How the sagas that a message concerns are found, by its type: as each definition says. */
  readonly #sagaOf = new Map<string, Set<SagaOf>>()

  /** The function that definitions are passed to, for what is said of one that was not. */
  readonly #registrar: string

  /** @throws EngineError invalid_definition */
  constructor(definitions: readonly SagaDefinition[], registrar = 'startEngine') {
    this.#registrar = registrar
    if (!Array.isArray(definitions) || definitions.length === 0)
      throw new EngineError('invalid_definition', 'definitions must list at least one saga definition.')
    for (const definition of definitions as readonly SagaDefinition[]) {
      const { name, version, structureKey } = (definition as SagaDefinition | undefined) ?? {}
      if (typeof name !== 'string' || typeof version !== 'number' || typeof structureKey !== 'string')
        throw new EngineError('invalid_definition', 'definitions holds what no defineSaga(...).end() has made.')
      const key = keyOf(name, version)
      if (this.#definitions.has(key))
        throw new EngineError(
          'invalid_definition',
          `definitions holds ${name} version ${version} twice: give one of them another version.`,
        )
      this.#definitions.set(key, definition)
      for (const { type, sagaId = byCorrelation } of eventsOf(definition)) this.#find(type, sagaId)
      for (const type of definition.byAnswer.keys()) this.#find(type, byCorrelation)
    }
  }

  /** The definition of this version; undefined where it is not registered. */
  find(name: string, version: number): SagaDefinition | undefined {
    return this.#definitions.get(keyOf(name, version))
  }

  /** The definition that a saga runs under, where it is registered in the structure that the saga began with. */
  of({ definition, version, structure }: SagaState): SagaDefinition | undefined {
    const found = this.find(definition, version)
    return structure === undefined || found?.structureKey === structure ? found : undefined
  }

  /** What is registered of a definition that a caller gives. @throws EngineError unknown_definition */
  given(definition: SagaDefinition): SagaDefinition {
    const { name, version, structureKey } =
      (definition as SagaDefinition | undefined) ?? ({} as Partial<SagaDefinition>)
    const known = this.find(String(name), Number(version))
    if (known === undefined)
      throw new EngineError(
        'unknown_definition',
        `${String(name)} version ${String(version)} is not registered; pass it to ${this.#registrar} in definitions.`,
      )
    if (known.structureKey !== structureKey)
      throw new EngineError(
        'unknown_definition',
        `${known.name} version ${known.version} is registered, but with other steps than the definition that was given; give one of them another version.`,
      )
    return known
  }

  get versions(): readonly DefinitionVersion[] {
    return [...this.#definitions.values()].map(({ name, version }) => ({ definition: name, version }))
  }

  get known(): readonly KnownDefinition[] {
    return [...this.#definitions.values()].map(knownOf)
  }

  /** Whatever commands are sent by. */
  get contracts(): readonly CommandContract[] {
    return [...this.#definitions.values()].flatMap(({ steps }) => steps.flatMap(contractsOf))
  }

  /** Where answers and events come from. */
  get channels(): readonly string[] {
    const answers = this.contracts.map((each) => each.eventChannel)
    const events = [...this.#definitions.values()].flatMap(eventsOf).flatMap(({ channel }) => channel ?? [])
    return [...new Set([...answers, ...events])]
  }

  /** The sagas that a message may concern: one, but where definitions find theirs by different functions. */
  sagasOf(type: string, payload: unknown, correlationId: string): readonly string[] {
    const found = new Set<string>()
    for (const sagaOf of this.#sagaOf.get(type) ?? byDefault) {
      try {
        const id: unknown = sagaOf(payload, correlationId)
        if (typeof id === 'string' && id !== '') found.add(id)
      } catch {
        // It is not what the function can read, and so for others.
      }
    }
    return [...found]
  }

  #find(type: string, sagaOf: SagaOf): void {
    this.#sagaOf.set(type, (this.#sagaOf.get(type) ?? new Set()).add(sagaOf))
  }
}

type SagaOf = NonNullable<EventContract['sagaId']>

const byCorrelation: SagaOf = (_payload, correlationId) => correlationId

/** Of types that no definition knows: what an answer says of its saga may still tell something. */
const byDefault: readonly SagaOf[] = [byCorrelation]

const knownOf = ({ name, version, structure, cancelDecidedBy, follows }: SagaDefinition): KnownDefinition => ({
  definition: name,
  version,
  structure: JSON.stringify(structure),
  cancellable: cancelDecidedBy !== null || follows.length > 0,
})

/** Whether a definition has anything to do with a message: channels are shared, and most of it is for others. */
export const concerns = (
  definition: SagaDefinition,
  sagaId: string,
  { type, causationId }: Pick<ReplyMessage, 'type' | 'causationId'>,
): boolean =>
  causationId?.startsWith(`${sagaId}:`) === true ||
  definition.byAnswer.has(type) ||
  definition.byEvent.has(type) ||
  definition.follows.some(({ event }) => event.type === type)

/** What differs, in words; empty where only the way of writing it down does. */
export function conflictText({ definition, version, structure, ...needed }: StructureConflict, is: Structure): string {
  const changed = differences(JSON.parse(structure) as Structure, is)
  if (changed.length === 0) return ''
  const by =
    needed.sagas > 0
      ? `${needed.sagas} of its sagas are not over, or can still be cancelled or moved by an event`
      : 'another process runs it as it was'
  return `${named({ definition, version })} is declared in another way than before, and ${by}: ${changed.join('; ')}. Give the changed definition a new version, and register the old one beside it until its sagas are over.`
}

const contractsOf = (step: StepDefinition): readonly CommandContract[] =>
  [step.do, step.undo, step.query].filter((contract) => contract !== null)

const eventsOf = ({ steps, follows }: SagaDefinition): readonly EventContract[] => [
  ...steps.flatMap(({ event }) => event ?? []),
  ...follows.map(({ event }) => event),
]
