/**
 * What a participant can be asked, and how its answers read.
 *
 * A contract is plain data with small pure functions, shared by the orchestrator (which asks) and the participant
 * (which obeys). Nothing here does I/O; the same contract is used over every transport.
 */

/** The part of Standard Schema (standardschema.dev, version 1) that we use; zod, valibot and arktype schemas fit. */
export interface Schema<out T> {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly validate: (value: unknown) => SchemaResult<T> | PromiseLike<SchemaResult<T>>
  }
}

type SchemaResult<T> =
  | { readonly value: T; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[]; readonly value?: unknown }

interface SchemaIssue {
  readonly message: string
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined
}

export type Checked<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly why: string }

/** An answer as it arrives: its type name and its unchecked payload. `causationId` names the command it answers. */
export interface ReplyMessage {
  readonly type: string
  readonly payload: unknown
  /** The id of the command that this answers; foreign producers give none. */
  readonly causationId?: string | undefined
}

/** A command that a participant obeys, with the two answers it may give. */
export interface CommandContract<Payload = unknown, Data = unknown> {
  /** The participant's name; a transport derives the place to send to from it (`order` -> `order_commands`). */
  readonly participant: string
  /** The command's type on the wire, such as `create_order`. */
  readonly type: string
  readonly payload: Schema<Payload>
  readonly done: { readonly type: string; readonly data: Schema<Data> }
  /** Null where the command cannot be refused: then every try either succeeds or stays unknown. */
  readonly rejected: RejectedReply | null
  /** True where the participant refuses a command that its undo has overtaken (design rule 5). */
  readonly tombstones: boolean
  /** As an undo: true where it may be sent although nothing may have been done, and without the lost answer's ids. */
  readonly safeOnNothing: boolean
  /** Reads a success: null, or the reason why it is a rejection after all (an answer that reports another status). */
  verdict(data: Data, asked: Payload): string | null
  /** False where an answer of the right type belongs to another command (its payment id is not the one asked for). */
  belongs(reply: ReplyMessage, asked: Payload): boolean
}

interface RejectedReply {
  readonly type: string
  readonly data: Schema<unknown>
  reason(data: unknown): string
  /** Builds the refusal's payload from a reason, for the participant kit. */
  refuse(reason: string): unknown
}

export interface CommandOptions<Payload, Data> {
  readonly payload: Schema<Payload>
  readonly done: readonly [type: string, data: Schema<Data>]
  /** Type and schema of the refusal; its reason is read from the field `error`. Leave out where none exists. */
  readonly rejected?: readonly [type: string, data: Schema<{ readonly error: string }>]
  readonly safeOnNothing?: boolean
  readonly verdict?: (data: Data, asked: Payload) => string | null
  readonly belongs?: (reply: ReplyMessage, asked: Payload) => boolean
}

/**
 * Declares the commands of one participant.
 *
 * @example
 * const order = participantContract('order', { tombstones: true })
 * export const createOrder = order.command('create_order', { payload, done: ['order.created', OrderCreated] })
 */
export function participantContract(
  participant: string,
  options: { readonly tombstones?: boolean } = {},
): {
  command<Payload, Data>(type: string, command: CommandOptions<Payload, Data>): CommandContract<Payload, Data>
} {
  return {
    command<Payload, Data>(type: string, command: CommandOptions<Payload, Data>): CommandContract<Payload, Data> {
      return {
        participant,
        type,
        payload: command.payload,
        done: { type: command.done[0], data: command.done[1] },
        rejected: command.rejected === undefined ? null : refusal(command.rejected[0], command.rejected[1]),
        tombstones: options.tombstones ?? false,
        safeOnNothing: command.safeOnNothing ?? false,
        verdict: command.verdict ?? (() => null),
        belongs: command.belongs ?? (() => true),
      }
    },
  }
}

function refusal(type: string, data: Schema<{ readonly error: string }>): RejectedReply {
  return {
    type,
    data,
    reason: (value) => (value as { readonly error: string }).error,
    refuse: (reason) => ({ error: reason }),
  }
}

/** An event from outside that a saga may wait for (a runner's acceptance). */
export interface EventContract<Data = unknown> {
  readonly type: string
  readonly data: Schema<Data>
}

/** Checks a value against a schema. Never throws: a schema that throws or answers later is a failed check. */
export function check<T>(schema: Schema<T>, value: unknown): Checked<T> {
  try {
    const result = schema['~standard'].validate(value)
    if ('then' in result) return { ok: false, why: 'the schema answers asynchronously; use a synchronous one' }
    if (result.issues === undefined) return { ok: true, value: result.value }
    return { ok: false, why: result.issues.map(describeIssue).join('; ') }
  } catch (error) {
    return { ok: false, why: `the schema failed: ${String(error)}` }
  }
}

function describeIssue(issue: SchemaIssue): string {
  const path = (issue.path ?? []).map((part) => String(typeof part === 'object' ? part.key : part)).join('.')
  return path === '' ? issue.message : `${path}: ${issue.message}`
}

/** What an answer says about the command that was asked. */
export type Reading =
  | { readonly kind: 'done'; readonly data: unknown }
  | { readonly kind: 'rejected'; readonly reason: string }
  /** It does not answer this command. */
  | { readonly kind: 'other' }
  /** It answers this command, but cannot be read: the command's outcome stays unknown. */
  | { readonly kind: 'garbled'; readonly why: string }

/** Reads an answer to a command. Never throws. */
export function readReply(command: CommandContract, asked: unknown, reply: ReplyMessage): Reading {
  try {
    const spec = reply.type === command.done.type ? command.done : command.rejected
    if (spec === null || spec.type !== reply.type || !command.belongs(reply, asked)) return { kind: 'other' }
    const data = check(spec.data, reply.payload)
    if (!data.ok) return { kind: 'garbled', why: data.why }
    if (spec !== command.done) return { kind: 'rejected', reason: (spec as RejectedReply).reason(data.value) }
    const reason = command.verdict(data.value, asked)
    return reason === null ? { kind: 'done', data: data.value } : { kind: 'rejected', reason }
  } catch (error) {
    return { kind: 'garbled', why: String(error) }
  }
}
