/** How a command gets its handler: what that is given, and what it answers. */
import type { CommandContract } from '../core/contract.ts'
import type { StoredReply } from './inbox.ts'

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

/** What a handler answers. Data and details are plain JSON: they are stored and sent as they are. */
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
 * It reads the payload as the contract's schema makes it (defaults filled in), and answers with what the schema of `done`
 * may be given.
 *
 * @throws TypeError where the contract or the handler is none
 * @example
 * handle(createOrder, async (tx, command) => done(await insertOrder(tx, command.payload)))
 */
export function handle<Tx, Payload, Data, Received, Given>(
  contract: CommandContract<Payload, Data, Received, Given>,
  handler: (tx: Tx, command: ReceivedCommand<Received>) => Promise<Answer<NoInfer<Given>>>,
): Handled<Tx>
export function handle<Tx, Payload, Data, Received, Given, Prepared>(
  contract: CommandContract<Payload, Data, Received, Given>,
  handler: Handler<Tx, Received, NoInfer<Given>, Prepared>,
): Handled<Tx>
export function handle<Tx, Payload, Data, Received, Given, Prepared>(
  contract: CommandContract<Payload, Data, Received, Given>,
  handler:
    ((tx: Tx, command: ReceivedCommand<Received>) => Promise<Answer<Given>>) | Handler<Tx, Received, Given, Prepared>,
): Handled<Tx> {
  checkHandler('handle', contract, handler, 'apply')
  const single = typeof handler === 'function'
  const apply: Handler<Tx, Received, Given, Prepared>['apply'] = single ? handler : (...all) => handler.apply(...all)
  const applyAll: BatchHandler<Tx, Received, Given, Prepared>['applyAll'] = async (tx, commands, prepared) => {
    const answers: Answer<Given>[] = []
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
 * @throws TypeError where the contract or the handler is none
 * @example
 * handleAll(createOrder, async (tx, commands) => (await insertOrders(tx, commands.map(toOrder))).map(done))
 */
export function handleAll<Tx, Payload, Data, Received, Given>(
  contract: CommandContract<Payload, Data, Received, Given>,
  handler: (tx: Tx, commands: readonly ReceivedCommand<Received>[]) => Promise<readonly Answer<NoInfer<Given>>[]>,
): Handled<Tx>
export function handleAll<Tx, Payload, Data, Received, Given, Prepared>(
  contract: CommandContract<Payload, Data, Received, Given>,
  handler: BatchHandler<Tx, Received, NoInfer<Given>, Prepared>,
): Handled<Tx>
export function handleAll<Tx, Payload, Data, Received, Given, Prepared>(
  contract: CommandContract<Payload, Data, Received, Given>,
  handler:
    | ((tx: Tx, commands: readonly ReceivedCommand<Received>[]) => Promise<readonly Answer<Given>[]>)
    | BatchHandler<Tx, Received, Given, Prepared>,
): Handled<Tx> {
  checkHandler('handleAll', contract, handler, 'applyAll')
  // `contract.payload` has read every payload before a handler sees it, which is what makes these casts true.
  const typed = (commands: readonly ReceivedCommand<unknown>[]) => commands as readonly ReceivedCommand<Received>[]
  if (typeof handler === 'function') {
    return { contract, prepare: null, applyAll: (tx, commands) => handler(tx, typed(commands)) }
  }
  return {
    contract,
    prepare: (command) => handler.prepare(command as ReceivedCommand<Received>),
    applyAll: (tx, commands, prepared) => handler.applyAll(tx, typed(commands), prepared as readonly Prepared[]),
  }
}

function checkHandler(called: string, contract: unknown, handler: unknown, effect: 'apply' | 'applyAll'): void {
  const { type, participant, payload } = Object(contract) as Partial<CommandContract>
  if (typeof type !== 'string' || typeof participant !== 'string' || payload === undefined) {
    throw new TypeError(`${called} takes a command of a contract first: participantContract(...).command(...)`)
  }
  if (typeof handler === 'function') return
  const methods = Object(handler) as Readonly<Record<string, unknown>>
  if (typeof methods['prepare'] === 'function' && typeof methods[effect] === 'function') return
  throw new TypeError(`the handler of ${type} must be a function, or an object with the methods prepare and ${effect}`)
}
