/** Declares what participants can be asked: the contracts that a saga and the services that obey it share. */
import type { CommandContract, RejectedReply, ReplyMessage, Schema } from '../core/contract.ts'

export type {
  Checked,
  CommandContract,
  EventContract,
  RejectedReply,
  Reading,
  ReplyMessage,
  Schema,
  SchemaIssue,
  SchemaResult,
} from '../core/contract.ts'
export { check, readReply } from '../core/contract.ts'

/** What a command that nobody answers has: what is sent, and when. */
export interface NoticeOptions<Payload, Received> {
  readonly payload: Schema<Received, Payload>
  readonly safeOnNothing?: boolean
  /** For one of several commands of this type: whether a payload is this one's. */
  readonly when?: (payload: Received) => boolean
}

export interface CommandOptions<Payload, Data, Received = Payload, Given = Data> extends NoticeOptions<
  Payload,
  Received
> {
  /** Type and schema of the success, and further types that are read as the same. */
  readonly done: readonly [type: string, data: Schema<Data, Given>, ...also: string[]]
  /**
   * Type and schema of the refusal, and further types that refuse as well (others on a shared channel say it otherwise); its
   * reason is read from the field `error`. Leave out where none exists.
   */
  readonly rejected?: readonly [type: string, data: Schema<{ readonly error: string }>, ...also: string[]]
  /**
   * True for one who refuses although a part is done (it has no transactions): the step is then undone, too, which must be safe
   * on nothing. Never for one that is built with the kit.
   */
  readonly rejectedInPart?: boolean
  readonly verdict?: (data: Data, asked: Payload) => string | null
  readonly belongs?: (reply: ReplyMessage, asked: Payload) => boolean
  /** False where the participant may as well not answer: sent is then as good as done. */
  readonly answered?: boolean
}

export interface ParticipantOptions {
  /** True where a command that its undo has overtaken is refused; the participant kit does. */
  readonly tombstones?: boolean
  /** `<participant>_commands` where none is given. */
  readonly commandChannel?: string
  /** `<participant>_events` where none is given. */
  readonly eventChannel?: string
}

export interface ParticipantContract {
  command<Payload, Data, Received = Payload, Given = Data>(
    type: string,
    command: CommandOptions<Payload, Data, Received, Given>,
  ): CommandContract<Payload, Data, Received, Given>
  /** A command that nobody answers: done once the transport has taken it, and repeated while that is not known. */
  notice<Payload, Received = Payload>(
    type: string,
    command: NoticeOptions<Payload, Received>,
  ): CommandContract<Payload, null, Received, null>
}

/**
 * Declares the commands of one participant.
 *
 * @throws Error where a name is no text or empty
 *
 * @example
 * const order = participantContract('order', { tombstones: true })
 * export const createOrder = order.command('create_order', { payload, done: ['order.created', OrderCreated] })
 */
export function participantContract(participant: string, options: ParticipantOptions = {}): ParticipantContract {
  const { tombstones = false, commandChannel = `${participant}_commands` } = options
  const { eventChannel = `${participant}_events` } = options
  for (const [what, name] of Object.entries({ participant, commandChannel, eventChannel })) named(what, name)
  const place = { participant, commandChannel, eventChannel, tombstones }

  return {
    command(type, command) {
      const [doneType, data, ...also] = command.done
      named(`type of ${participant}`, type)
      for (const name of [doneType, ...also]) named(`done of ${participant}`, name)
      for (const schema of [command.payload, data]) isSchema(type, schema)
      return {
        ...place,
        type,
        payload: command.payload,
        done: { type: doneType, data, also },
        rejected: command.rejected === undefined ? null : refusal(type, command.rejected),
        answered: command.answered ?? true,
        rejectedInPart: command.rejectedInPart ?? false,
        safeOnNothing: command.safeOnNothing ?? false,
        when: whenOf(command.when),
        verdict: command.verdict ?? (() => null),
        belongs: command.belongs ?? (() => true),
      }
    },
    notice(type, command) {
      named(`type of ${participant}`, type)
      isSchema(type, command.payload)
      return {
        ...place,
        type,
        payload: command.payload,
        done: { type: '', data: none, also: [] },
        rejected: null,
        answered: false,
        rejectedInPart: false,
        safeOnNothing: command.safeOnNothing ?? false,
        when: whenOf(command.when),
        verdict: () => null,
        belongs: () => false,
      }
    },
  }
}

/** The kit has checked the payload before it asks. */
const whenOf =
  <Received>(when: ((payload: Received) => boolean) | undefined) =>
  (payload: unknown): boolean =>
    when === undefined || when(payload as Received)

function named(what: string, name: unknown): void {
  if (typeof name !== 'string' || name === '')
    throw new Error(`the ${what} must be a text that is not empty; it is ${JSON.stringify(name) ?? String(name)}.`)
}

function isSchema(type: string, schema: unknown): void {
  if (typeof (schema as Schema<unknown> | undefined)?.['~standard']?.validate !== 'function')
    throw new Error(
      `a schema of ${type} is none: give one that follows Standard Schema, such as zod's z.object({ ... }).`,
    )
}

const none: Schema<null, null> = {
  '~standard': { version: 1, vendor: 'ordersaga', validate: () => ({ value: null }) },
}

function refusal(
  command: string,
  [type, data, ...also]: Required<CommandOptions<unknown, unknown>>['rejected'],
): RejectedReply {
  isSchema(command, data)
  for (const name of also) named(`rejected of ${command}`, name)
  return {
    type,
    data,
    also,
    reason: (value) => (value as { readonly error: string }).error,
    refuse: (reason) => ({ error: reason }),
  }
}
