/**
 * The participant kit: a service declares handlers for the commands of its contract and serves them over any transport.
 *
 * Invariants:
 * - the reply is stored in the same transaction as the effect, under the command's id; a repeat is answered from the
 *   store and does nothing (design rule 4);
 * - an undo that overtakes its command leaves a tombstone, and the late command is refused (rule 5);
 * - the command is acknowledged only after its reply is published, so no outbox is needed;
 * - a handler that throws has an unknown outcome: nothing is stored, the message is delivered again, and the rest of its
 *   batch goes on; where it throws that something is unavailable, no command is to blame, and all of them wait;
 * - commands of one saga are obeyed in the order in which they came.
 */
import { check, type Checked, type CommandContract } from '../core/contract.ts'
import { causedBy } from '../transports/trace.ts'
import {
  commandChannel,
  eventChannel,
  isUnavailable,
  RefusedError,
  UnavailableError,
  type FailedMessage,
  type Message,
  type Subscription,
  type Transport,
} from '../transports/transport.ts'
import { groups, rounds } from './batches.ts'
import type { Inbox, StoredReply } from './inbox.ts'

/** A command in a handler's hands. */
export interface ReceivedCommand<Payload> {
  readonly id: string
  readonly sagaId: string
  readonly payload: Payload
  /** Of an undo that names what it undoes: the id of that command. */
  readonly undoes: string | null
  /** What became of the undone command here; null where it never arrived (a tombstone now keeps it out), or where the
   * undo does not name it. */
  readonly original: StoredReply | null
}

export type Answer<Data> =
  | { readonly kind: 'done'; readonly data: Data }
  | { readonly kind: 'rejected'; readonly reason: string; readonly details?: Readonly<Record<string, unknown>> }

export const done = <Data>(data: Data): Answer<Data> => ({ kind: 'done', data })
/** Refused, with no effect. The details join the reason in the refusal's payload (an order id, a text for people). */
export const rejected = (reason: string, details: Readonly<Record<string, unknown>> = {}): Answer<never> => ({
  kind: 'rejected',
  reason,
  details,
})

/** A handler that needs other systems does that in `prepare`; its effect on the own database belongs in `apply`. */
export interface Handler<Tx, Payload, Data, Prepared> {
  /** Runs outside any transaction, possibly several times for one command: must be idempotent by `command.id`. */
  prepare(command: ReceivedCommand<Payload>): Promise<Prepared>
  /** Runs in the transaction that also stores the reply. */
  apply(tx: Tx, command: ReceivedCommand<Payload>, prepared: Prepared): Promise<Answer<Data>>
}

/** Takes commands of one type together, so that many cost the database one statement. */
export interface BatchHandler<Tx, Payload, Data, Prepared> {
  /** As a single handler's: of each command by itself. */
  prepare(command: ReceivedCommand<Payload>): Promise<Prepared>
  /** As `applyAll` of `handleAll`, with what was prepared in the same order. */
  applyAll(
    tx: Tx,
    commands: readonly ReceivedCommand<Payload>[],
    prepared: readonly Prepared[],
  ): Promise<readonly Answer<Data>[]>
}

/** One command with its handler, types erased. Made by `handle` and `handleAll`. */
export interface Handled<Tx> {
  readonly contract: CommandContract
  readonly prepare: ((command: ReceivedCommand<unknown>) => Promise<unknown>) | null
  readonly applyAll: (
    tx: Tx,
    commands: readonly ReceivedCommand<unknown>[],
    prepared: readonly unknown[],
  ) => Promise<readonly Answer<unknown>[]>
}

/**
 * Gives a command of a contract its handler: a function where all happens in the own database, or `prepare` and `apply`.
 *
 * @example
 * handle(createOrder, async (tx, command) => done(await insertOrder(tx, command.payload)))
 */
export function handle<Tx, Payload, Data>(
  contract: CommandContract<Payload, Data>,
  handler: (tx: Tx, command: ReceivedCommand<Payload>) => Promise<Answer<NoInfer<Data>>>,
): Handled<Tx>
export function handle<Tx, Payload, Data, Prepared>(
  contract: CommandContract<Payload, Data>,
  handler: Handler<Tx, Payload, NoInfer<Data>, Prepared>,
): Handled<Tx>
export function handle<Tx, Payload, Data, Prepared>(
  contract: CommandContract<Payload, Data>,
  handler:
    ((tx: Tx, command: ReceivedCommand<Payload>) => Promise<Answer<Data>>) | Handler<Tx, Payload, Data, Prepared>,
): Handled<Tx> {
  const single = typeof handler === 'function'
  const apply: Handler<Tx, Payload, Data, Prepared>['apply'] = single ? handler : (...all) => handler.apply(...all)
  const applyAll: BatchHandler<Tx, Payload, Data, Prepared>['applyAll'] = async (tx, commands, prepared) => {
    const answers: Answer<Data>[] = []
    for (const [index, command] of commands.entries())
      answers.push(await apply(tx, command, prepared[index] as Prepared))
    return answers
  }
  return single
    ? handleAll(contract, (tx: Tx, commands) => applyAll(tx, commands, []))
    : handleAll(contract, { prepare: (command) => handler.prepare(command), applyAll })
}

/**
 * Gives a command a handler that takes all that came together, in one call in one transaction. Its answers are in the
 * order of the commands, each of which is of another saga. Where it throws, nothing is written and they come again one by
 * one, so it must be right for a single command too.
 *
 * @example
 * handleAll(createOrder, async (tx, commands) => (await insertOrders(tx, commands.map(toOrder))).map(done))
 */
export function handleAll<Tx, Payload, Data>(
  contract: CommandContract<Payload, Data>,
  handler: (tx: Tx, commands: readonly ReceivedCommand<Payload>[]) => Promise<readonly Answer<NoInfer<Data>>[]>,
): Handled<Tx>
export function handleAll<Tx, Payload, Data, Prepared>(
  contract: CommandContract<Payload, Data>,
  handler: BatchHandler<Tx, Payload, NoInfer<Data>, Prepared>,
): Handled<Tx>
export function handleAll<Tx, Payload, Data, Prepared>(
  contract: CommandContract<Payload, Data>,
  handler:
    | ((tx: Tx, commands: readonly ReceivedCommand<Payload>[]) => Promise<readonly Answer<Data>[]>)
    | BatchHandler<Tx, Payload, Data, Prepared>,
): Handled<Tx> {
  // `contract.payload` has checked every payload before a handler sees it, which is what makes these casts true.
  const typed = (commands: readonly ReceivedCommand<unknown>[]) => commands as readonly ReceivedCommand<Payload>[]
  if (typeof handler === 'function') {
    return { contract, prepare: null, applyAll: (tx, commands) => handler(tx, typed(commands)) }
  }
  return {
    contract,
    prepare: (command) => handler.prepare(command as ReceivedCommand<Payload>),
    applyAll: (tx, commands, prepared) => handler.applyAll(tx, typed(commands), prepared as readonly Prepared[]),
  }
}

export interface Problem {
  readonly what: string
  readonly messageId: string
  readonly cause: unknown
}

export interface ParticipantOptions<Tx> {
  /** The contract's name, such as `order`: commands come from `order_commands`, replies go to `order_events`. */
  readonly name: string
  /** Goes into the replies' `source`, such as `order-service`. */
  readonly source: string
  /** Participants of one group share the commands; `<source>-group` where none is given (contract 4.6 and 6). */
  readonly group?: string
  readonly inbox: Inbox<Tx>
  readonly handlers: readonly Handled<Tx>[]
  /** How many `prepare`s run at once; 16 where none is given. */
  readonly concurrency?: number
  readonly onProblem?: (problem: Problem) => void
}

/** A command with its handler and its checked payload. */
interface Work<Tx> {
  readonly message: Message
  readonly handled: Handled<Tx>
  readonly payload: Checked<unknown>
}

/** Work whose `prepare` has run, and what was known of the undone command then. */
interface PreparedWork<Tx> extends Work<Tx> {
  readonly prepared: unknown
  readonly preparedOn: StoredReply['kind'] | null
}

type Fail = (message: Message, cause: unknown) => void

type Replies = Map<string, StoredReply>

const undoneBefore = 'it was undone before it arrived'

/**
 * Serves the commands of one participant.
 *
 * @throws Error where two handlers serve one command, or a handler's contract belongs to another participant
 */
export function participant<Tx>(options: ParticipantOptions<Tx>): {
  attach(transport: Transport): Promise<Subscription>
} {
  const { name, source, inbox } = options
  const handlers = handlersByType(options)

  const problem = (what: string, messageId: string, cause: unknown): void =>
    options.onProblem?.({ what, messageId, cause })

  async function serve(batch: readonly Message[], transport: Transport): Promise<readonly FailedMessage[]> {
    const failed: FailedMessage[] = []
    const fail: Fail = (message, cause) => {
      problem(`${message.type} could not be handled`, message.id, cause)
      failed.push({ messageId: message.id, reason: cause instanceof Error ? cause.message : String(cause) })
    }
    for (const round of rounds(read(batch, fail))) {
      const replies = await obey(round, fail)
      if (replies.length > 0) await say(replies, transport, round, fail)
    }
    return failed
  }

  /**
   * Where the replies cannot be published now, their commands come again and are answered from what is stored. Where some
   * never can be, the commands of these fail, so that no other waits with them.
   */
  async function say(
    replies: readonly Message[],
    transport: Transport,
    round: readonly Work<Tx>[],
    fail: Fail,
  ): Promise<void> {
    try {
      await transport.publish(eventChannel(name), replies)
    } catch (cause) {
      if (!(cause instanceof RefusedError)) {
        throw new UnavailableError(`the replies of ${name} could not be published`, { cause })
      }
      const refused = new Set(cause.messageIds)
      for (const { message } of round) if (refused.has(replyId(message))) fail(message, cause)
    }
  }

  /** @throws UnavailableError where no transaction can be begun: the database is away, and no command is to blame */
  async function transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    let begun = false
    try {
      return await inbox.transaction((tx) => {
        begun = true
        return work(tx)
      })
    } catch (cause) {
      if (begun) throw cause
      throw new UnavailableError(`the database of ${name} does not answer`, { cause })
    }
  }

  /** The batch without repeats and without what is not for us. Messages that are no commands are reported and dropped. */
  function read(batch: readonly Message[], fail: Fail): Work<Tx>[] {
    const works = new Map<string, Work<Tx>>()
    for (const message of batch) {
      const wrong = whatIsWrong(message)
      if (wrong !== null) problem(`a message on ${commandChannel(name)} is not a command`, String(message?.id), wrong)
      if (wrong !== null) continue
      const handled = handlers.get(message.type)
      if (handled === undefined) continue // channels are shared
      const payload = check(handled.contract.payload, message.payload)
      if (payload.ok || handled.contract.rejected !== null) works.set(message.id, { message, handled, payload })
      else fail(message, new Error(`${badPayload(message, payload.why)}, and its contract has no refusal`))
    }
    return [...works.values()]
  }

  /** Prepares, then answers everything in one transaction; where that fails, each command in one of its own. */
  async function obey(round: readonly Work<Tx>[], fail: Fail): Promise<readonly Message[]> {
    const works = await prepareAll(round, fail)
    try {
      return await transaction((tx) => answerAll(tx, works))
    } catch (error) {
      if (isUnavailable(error)) throw error
      // A handler threw, or another process obeyed one of the commands first: alone, the others succeed and the loser
      // finds the winner's reply.
      return oneByOne(works, fail)
    }
  }

  async function oneByOne(works: readonly PreparedWork<Tx>[], fail: Fail): Promise<readonly Message[]> {
    const replies: Message[] = []
    for (const work of works) {
      try {
        replies.push(...(await transaction((tx) => answerAll(tx, [work]))))
      } catch (error) {
        if (isUnavailable(error)) throw error // to wait for it once per command would take for ever
        fail(work.message, error)
      }
    }
    return replies
  }

  /** Runs the `prepare`s of commands that have one and no stored reply. A command whose `prepare` throws is left out. */
  async function prepareAll(round: readonly Work<Tx>[], fail: Fail): Promise<readonly PreparedWork<Tx>[]> {
    const needed = round.filter((work) => work.handled.prepare !== null && work.payload.ok)
    if (needed.length === 0) return round.map((work) => ({ ...work, prepared: undefined, preparedOn: null }))

    const stored = await transaction((tx) => find(tx, needed))
    const prepared = new Map<string, unknown>()
    const broken = new Set<string>()
    const away: Error[] = []
    const open = needed.filter((work) => !stored.has(work.message.id))
    await forEachAtMost(options.concurrency ?? 16, open, async (work) => {
      if (away.length > 0) return
      try {
        prepared.set(work.message.id, await work.handled.prepare?.(received(work, stored)))
      } catch (error) {
        if (isUnavailable(error)) return void away.push(error)
        broken.add(work.message.id)
        fail(work.message, error)
      }
    })
    for (const error of away) throw error // once no `prepare` is under way any more: the batch comes again
    return round
      .filter((work) => !broken.has(work.message.id))
      .map((work) => ({
        ...work,
        prepared: prepared.get(work.message.id),
        preparedOn: original(work.message, stored)?.kind ?? null,
      }))
  }

  /** Answers in order; what it saves and what the handlers do commit together. */
  async function answerAll(tx: Tx, works: readonly PreparedWork<Tx>[]): Promise<readonly Message[]> {
    if (works.length === 0) return []
    const stored = await find(tx, works)
    const fresh: StoredReply[] = []
    const keep = (reply: StoredReply): void => {
      stored.set(reply.commandId, reply)
      fresh.push(reply)
    }
    for (const group of groups(works)) {
      const open = group.filter(({ message }) => !stored.has(message.id))
      if (open.length > 0) await answer(tx, open, stored, keep)
    }
    if (fresh.length > 0) await inbox.save(tx, fresh)
    return works.map((work) => replyTo(work, stored.get(work.message.id))).filter((reply) => reply !== null)
  }

  /** Answers commands of one type, each of another saga. */
  async function answer(
    tx: Tx,
    works: readonly PreparedWork<Tx>[],
    stored: Replies,
    keep: (reply: StoredReply) => void,
  ): Promise<void> {
    const readable: PreparedWork<Tx>[] = []
    for (const work of works) {
      const { message, handled, payload } = work
      if (payload.ok) readable.push(work)
      else keep(toStore(message, handled.contract, rejected(badPayload(message, payload.why))))
    }
    const handled = readable[0]?.handled
    if (handled === undefined) return
    const commands = readable.map((work) => commandOf(work, stored, keep))
    const answers = await handled.applyAll(
      tx,
      commands,
      readable.map(({ prepared }) => prepared),
    )
    if (answers.length !== commands.length) {
      const { type } = handled.contract
      throw new Error(`the handler of ${type} gave ${answers.length} answers to ${commands.length} commands`)
    }
    for (const [index, { message, handled }] of readable.entries()) {
      keep(toStore(message, handled.contract, answers[index] as Answer<unknown>))
    }
  }

  /** The command for its handler. What it undoes and never arrived is kept out from now on. */
  function commandOf(
    work: PreparedWork<Tx>,
    stored: Replies,
    keep: (reply: StoredReply) => void,
  ): ReceivedCommand<unknown> {
    const { message, handled } = work
    if (handled.prepare !== null && (original(message, stored)?.kind ?? null) !== work.preparedOn) {
      throw new Error(`what ${message.type} undoes has changed while it was prepared; it is prepared again`)
    }
    const command = received(work, stored)
    const { undoes } = message
    if (undoes !== undefined && !stored.has(undoes)) {
      keep({ commandId: undoes, kind: 'tombstone', type: '', payload: null })
    }
    return command
  }

  async function find(tx: Tx, works: readonly Work<Tx>[]): Promise<Replies> {
    const ids = works.flatMap(({ message }) =>
      message.undoes === undefined ? [message.id] : [message.id, message.undoes],
    )
    const found = await inbox.find(tx, [...new Set(ids)])
    return new Map(found.map((reply) => [reply.commandId, reply]))
  }

  /** Null where a tombstone keeps a command out whose contract has no refusal: it is only acknowledged. */
  function replyTo(work: Work<Tx>, stored: StoredReply | undefined): Message | null {
    const { message, handled } = work
    if (stored === undefined) return null
    if (stored.kind === 'tombstone' && handled.contract.rejected === null) return null
    const said = stored.kind === 'tombstone' ? toStore(message, handled.contract, rejected(undoneBefore)) : stored
    const id = replyId(message)
    return {
      id,
      type: said.type,
      correlationId: message.correlationId,
      causationId: message.id,
      timestamp: new Date().toISOString(),
      source,
      ...causedBy(message, id),
      payload: said.payload,
    }
  }

  return {
    attach: (transport) =>
      transport.subscribe(commandChannel(name), options.group ?? `${source}-group`, (batch) => serve(batch, transport)),
  }
}

function handlersByType<Tx>(options: ParticipantOptions<Tx>): ReadonlyMap<string, Handled<Tx>> {
  const byType = new Map<string, Handled<Tx>>()
  for (const handled of options.handlers) {
    const { type, participant: owner } = handled.contract
    if (owner !== options.name) {
      throw new Error(`participant ${options.name} cannot handle ${type}: its contract names participant ${owner}`)
    }
    if (byType.has(type)) throw new Error(`participant ${options.name} has two handlers for ${type}: remove one`)
    byType.set(type, handled)
  }
  return byType
}

const replyId = (command: Message): string => `${command.id}:reply`

/** Null for a command; otherwise what it lacks. Transports carry what foreign producers send, so types promise nothing. */
function whatIsWrong(message: Message | null | undefined): string | null {
  if (typeof message !== 'object' || message === null) return 'it is not an object'
  for (const field of ['id', 'type', 'correlationId'] as const) {
    if (typeof message[field] !== 'string' || message[field] === '') return `it has no ${field}`
  }
  return null
}

function received<Tx>(work: Work<Tx>, stored: Replies): ReceivedCommand<unknown> {
  const { message, payload } = work
  return {
    id: message.id,
    sagaId: message.correlationId,
    payload: payload.ok ? payload.value : undefined,
    undoes: message.undoes ?? null,
    original: original(message, stored),
  }
}

function original(message: Message, stored: Replies): StoredReply | null {
  const reply = message.undoes === undefined ? undefined : stored.get(message.undoes)
  return reply === undefined || reply.kind === 'tombstone' ? null : reply
}

/** @throws Error where the answer is not one that the contract knows: a mistake in the handler, so nothing is sent. */
function toStore(message: Message, contract: CommandContract, answer: Answer<unknown>): StoredReply {
  const spec = answer.kind === 'done' ? contract.done : contract.rejected
  if (spec === null) throw new Error(`the handler of ${contract.type} refuses, but its contract has no refusal`)
  const payload =
    answer.kind === 'done' ? answer.data : refusal(contract.rejected?.refuse(answer.reason), answer.details)
  const checked = check(spec.data, payload)
  if (!checked.ok) {
    throw new Error(`the handler of ${contract.type} gives a ${spec.type} that its contract forbids: ${checked.why}`)
  }
  return { commandId: message.id, kind: answer.kind, type: spec.type, payload }
}

function refusal(payload: unknown, details: Readonly<Record<string, unknown>> | undefined): unknown {
  return details === undefined ? payload : { ...details, ...(payload as object) }
}

function badPayload(message: Message, why: string): string {
  return `the payload of ${message.type} is not what its contract asks for: ${why}`
}

async function forEachAtMost<T>(limit: number, items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const shared = items.values()
  const worker = async (): Promise<void> => {
    for (const item of shared) await work(item)
  }
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker))
}
