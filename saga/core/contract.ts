/**
 * What a participant can be asked, and how its answers read.
 *
 * A contract is plain data with small pure functions, shared by the orchestrator (which asks) and the participant
 * (which obeys). Nothing here does I/O; the same contract is used over every transport.
 */

import { said } from './plain.ts'

/**
 * The part of Standard Schema (standardschema.dev, version 1) that we use; zod, valibot and arktype schemas fit.
 * `Given` is what may be given to it, `Read` what it makes of that (defaults filled in, texts transformed).
 */
export interface Schema<out Read, out Given = unknown> {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly validate: (value: unknown) => SchemaResult<Read> | PromiseLike<SchemaResult<Read>>
    readonly types?: { readonly input: Given; readonly output: Read } | undefined
  }
}

export type SchemaResult<T> =
  | { readonly value: T; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[]; readonly value?: unknown }

export interface SchemaIssue {
  readonly message: string
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined
}

export type Checked<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly why: string }

/** An answer or an event as it arrives: its type name and its unchecked payload. */
export interface ReplyMessage {
  readonly type: string
  readonly payload: unknown
  /** The message's own id: an event that comes again under its id counts once. */
  readonly id?: string | undefined
  /** The id of the command that this answers; foreign producers give none. */
  readonly causationId?: string | undefined
}

/**
 * A command that a participant obeys, with the two answers it may give.
 *
 * `Payload` is what a saga gives and `Received` what the handler reads of it; `Given` is what the handler answers and `Data`
 * what the saga reads of that. They differ where a schema has defaults or transforms: the wire carries what was given.
 */
export interface CommandContract<Payload = unknown, Data = unknown, Received = Payload, Given = Data> {
  /** The participant's name. */
  readonly participant: string
  /** The channel that its commands are sent to. Several participants may share one. */
  readonly commandChannel: string
  /** The channel that its answers come from. */
  readonly eventChannel: string
  /** The command's type on the wire, such as `create_order`. */
  readonly type: string
  readonly payload: Schema<Received, Payload>
  readonly done: {
    readonly type: string
    readonly data: Schema<Data, Given>
    /** Types that say the same: read, and never given by the kit. */
    readonly also: readonly string[]
  }
  /** Null where the command cannot be refused: then every try either succeeds or stays unknown. */
  readonly rejected: RejectedReply | null
  /** False where nobody answers: it counts as done once the transport has taken it. An answer that comes first is read. */
  readonly answered: boolean
  /** True where a refusal may leave a part of the effect behind: the step is then undone like one that may have been done. */
  readonly rejectedInPart: boolean
  /** True where the participant refuses a command that its undo has overtaken. */
  readonly tombstones: boolean
  /** As an undo: true where it may be sent although nothing may have been done, and without the lost answer's ids. */
  readonly safeOnNothing: boolean
  /** Tells commands of one type apart that have different answers: whether this payload is one of this contract. */
  when(payload: unknown): boolean
  /** Reads a success: null, or the reason why it is a rejection after all (an answer that reports another status). */
  verdict(data: Data, asked: Payload): string | null
  /** False where an answer of the right type belongs to another command (its payment id is not the one asked for). */
  belongs(reply: ReplyMessage, asked: Payload): boolean
}

export interface RejectedReply {
  readonly type: string
  readonly data: Schema<unknown>
  /** Types that refuse it as well: read, and never given by the kit. */
  readonly also: readonly string[]
  reason(data: unknown): string
  /** Builds the refusal's payload from a reason, for the participant kit. */
  refuse(reason: string): unknown
}

export /** An event from outside that a saga may wait for (a runner's acceptance), or that something follows. */
interface EventContract<Data = unknown> {
  readonly type: string
  readonly data: Schema<Data>
  /** Where it is published; without it, it comes by the channels of the saga's participants, or is handed in. */
  readonly channel?: string
  /** Which saga it concerns, null for none; where none is given, its correlation id says it. The payload is unchecked. */
  readonly sagaId?: (payload: unknown, correlationId: string) => string | null
}

/** Checks a value against a schema. Never throws: a schema that throws or answers later is a failed check. */
export function check<T>(schema: Schema<T>, value: unknown): Checked<T> {
  try {
    const result = schema['~standard'].validate(value)
    if ('then' in result) return { ok: false, why: 'the schema answers asynchronously; use a synchronous one' }
    if (result.issues === undefined) return { ok: true, value: result.value }
    return { ok: false, why: result.issues.map(describeIssue).join('; ') }
  } catch (error) {
    return { ok: false, why: `the schema failed: ${said(error)}` }
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
  | { readonly kind: 'unreadable'; readonly why: string }

/** Reads an answer to a command. Never throws. */
export function readReply(command: CommandContract, asked: unknown, reply: ReplyMessage): Reading {
  try {
    const spec = [command.done, command.rejected].find((each) => each !== null && says(each, reply.type)) ?? null
    if (spec === null || !command.belongs(reply, asked)) return { kind: 'other' }
    const data = check(spec.data, reply.payload)
    if (!data.ok) return { kind: 'unreadable', why: data.why }
    if (spec !== command.done) return { kind: 'rejected', reason: (spec as RejectedReply).reason(data.value) }
    const reason = command.verdict(data.value, asked)
    return reason === null ? { kind: 'done', data: data.value } : { kind: 'rejected', reason }
  } catch (error) {
    return { kind: 'unreadable', why: said(error) }
  }
}

const says = ({ type, also }: Pick<RejectedReply, 'type' | 'also'>, told: string): boolean =>
  type === told || also.includes(told)

/** Every type by which a command may be answered. */
export const answerTypes = ({ done, rejected }: CommandContract): readonly string[] =>
  [done, rejected].flatMap((spec) => (spec === null || spec.type === '' ? [] : [spec.type, ...spec.also]))
