/** What the kit refuses by itself, before any handler; a service chooses the words. */
import type { Message } from '../transports/transport.ts'
import { rejected, type Answer, type ReceivedCommand } from './handle.ts'

export interface KitRefusal {
  /** `bad_payload`: not what the contract asks for. `undone_before`: its undo came first. */
  readonly cause: 'bad_payload' | 'undone_before'
  /** The cause in a sentence, with what the schema says. */
  readonly why: string
  /** Its payload is as it came: unchecked where that is the cause. */
  readonly command: ReceivedCommand<unknown>
}

/** Puts a refusal into words: the reason, and details that the contract's refusal has. */
export type Refuse = (refusal: KitRefusal) => Answer<never>

export const refuseInASentence: Refuse = ({ why }) => rejected(why)

export const undoneBefore = 'it was undone before it arrived'

export const badPayload = ({ type }: Message, why: string): string =>
  `the payload of ${type} is not what its contract asks for: ${why}`
