/** Tells which messages of a batch are commands of this participant, and who handles them. */
import { check, type CommandContract } from '../core/contract.ts'
import type { OnProblem } from '../problem.ts'
import { commandChannel, type Message } from '../transports/transport.ts'
import type { Handled } from './handle.ts'
import type { Settings } from './options.ts'
import { badPayload } from './refusing.ts'
import { ParticipantError, type Fail, type Work } from './work.ts'

/** Of so many types it is told once that nobody handles them; more are no mistake of a contract any more. */
const mostTypes = 100

export class Reading<Tx> {
  readonly #name: string
  readonly #handlers: ReadonlyMap<string, readonly Handled<Tx>[]>
  /** Types of others, by channel. */
  readonly #neighbours: ReadonlyMap<string, ReadonlySet<string>>
  readonly #report: OnProblem
  readonly #toldTypes = new Set<string>()

  /** @throws Error where two handlers serve one command, or one belongs to another participant */
  constructor({ name, handlers, neighbours, onProblem }: Settings<Tx>) {
    this.#name = name
    this.#handlers = byType(name, handlers)
    this.#neighbours = typesByChannel(neighbours)
    this.#report = onProblem
  }

  /** The batch without repeats and without what is not for us. */
  read(channel: string, batch: readonly Message[], fail: Fail): readonly Work<Tx>[] {
    const works = new Map<string, Work<Tx>>()
    for (const message of batch) {
      const wrong = whatIsWrong(message)
      if (wrong !== null) {
        this.#dropped(channel, message, wrong)
        continue
      }
      try {
        const work = this.#workOf(channel, message)
        if (work === null) this.#unhandled(channel, message)
        else works.set(message.id, work)
      } catch (error) {
        fail(message, error)
      }
    }
    return [...works.values()]
  }

  /** Null where nobody here handles it. */
  #workOf(channel: string, message: Message): Work<Tx> | null {
    const fitting: Work<Tx>[] = []
    let unreadable: Work<Tx> | null = null
    for (const handled of this.#handlers.get(message.type) ?? []) {
      // A type may mean something else on another channel.
      if (handled.contract.commandChannel !== channel) continue
      const work = { message, handled, payload: check(handled.contract.payload, message.payload) }
      if (!work.payload.ok) unreadable ??= work
      else if (handled.contract.when(work.payload.value)) fitting.push(work)
    }
    if (fitting.length > 1) {
      const what = `two handlers of ${this.#name} take this ${message.type}`
      throw new ParticipantError('ambiguous', `${what}: let the "when" of their contracts tell its payloads apart`)
    }
    return fitting[0] ?? (unreadable === null ? null : refusable(unreadable))
  }

  #dropped(channel: string, message: Message, wrong: string): void {
    this.#report({
      what: `a message on ${channel} is no command and was dropped, because ${wrong}: have its sender give id, type and correlationId`,
      needsPerson: true,
      messageId: textOr(message?.id),
      sagaId: textOr(message?.correlationId),
    })
  }

  /** On a channel that participants share, what nobody handles can be told only where the others are known. */
  #unhandled(channel: string, { id, type, correlationId }: Message): void {
    const others = this.#neighbours.get(channel)
    if (others?.has(type) === true || (others === undefined && channel !== commandChannel(this.#name))) return
    if (this.#toldTypes.has(type) || this.#toldTypes.size === mostTypes) return
    this.#toldTypes.add(type)
    this.#report({
      what: `nobody obeys ${type} on ${channel}, and its sagas wait in vain: give participant ${this.#name} a handler for it (told once for each type)`,
      needsPerson: true,
      messageId: id,
      sagaId: correlationId,
    })
  }
}

function typesByChannel(contracts: readonly CommandContract[]): ReadonlyMap<string, ReadonlySet<string>> {
  const found = new Map<string, Set<string>>()
  for (const { commandChannel: channel, type } of contracts)
    found.set(channel, (found.get(channel) ?? new Set()).add(type))
  return found
}

function byType<Tx>(name: string, handlers: readonly Handled<Tx>[]): ReadonlyMap<string, readonly Handled<Tx>[]> {
  const found = new Map<string, Handled<Tx>[]>()
  for (const handled of handlers) {
    const { type, participant: owner } = handled.contract
    if (owner !== name) {
      throw new Error(`participant ${name} cannot handle ${type}: its contract names participant ${owner}`)
    }
    const others = found.get(type) ?? []
    if (others.some(({ contract }) => contract === handled.contract)) {
      throw new Error(`participant ${name} has two handlers for ${type}: remove one`)
    }
    found.set(type, [...others, handled])
  }
  return found
}

/** @throws ParticipantError where nobody can be told that its payload is wrong */
function refusable<Tx>(work: Work<Tx>): Work<Tx> {
  const { message, handled, payload } = work
  if (payload.ok || handled.contract.rejected !== null) return work
  throw new ParticipantError('no_refusal', `${badPayload(message, payload.why)}, and its contract has no refusal`)
}

/** Longer ones no transport carries back for sure: those of RabbitMQ and HTTP go in headers. Ours have less than half of it. */
const longestId = 1_000

/** Null for a command; otherwise what it lacks. Transports carry what foreign producers send, so types promise nothing. */
function whatIsWrong(message: Message | null | undefined): string | null {
  if (typeof message !== 'object' || message === null) return 'it is not an object'
  for (const field of ['id', 'type', 'correlationId'] as const) {
    if (typeof message[field] !== 'string' || message[field] === '') return `it has no ${field}`
    if (message[field].length > longestId) return `its ${field} has more than ${longestId} characters`
  }
  return null
}

const textOr = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value.slice(0, longestId) : undefined
