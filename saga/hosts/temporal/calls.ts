/**
 * Commands as activities: ours take a command and answer in its contract's types. Activities of others have a name, arguments
 * and results of their own; a call puts a command into these, and hears what they say. Workflows and workers both import it.
 */
import type { CommandContract } from '../../core/contract.ts'
import type { Told } from './protocol.ts'

/** What is said to a command: it was done, or refused. */
export type Said<Data = unknown> = { readonly done: Data } | { readonly rejected: string }

/** What became of an activity. What is lost, or takes too long, is heard by nobody: its outcome is unknown. */
export type Outcome =
  | { readonly result: unknown }
  /** It failed by its own word (an ApplicationFailure), of this type. */
  | { readonly failed: { readonly type: string | null; readonly message: string; readonly isFinal: boolean } }

/** A command as an activity of others. */
export interface ActivityCall {
  readonly activity: string
  readonly args: readonly unknown[]
  /** It runs in the worker that has the workflow, whoever else takes activities from its queue; for reads. */
  readonly local?: boolean
  /** What the activity says; null where the command's outcome is unknown all the same. */
  readonly hear: (outcome: Outcome) => Said | null
}

/** @throws Error where a refusal has no place in the contract */
export function toldBy(contract: CommandContract, said: Said): Told {
  const { done, rejected, type } = contract
  if ('done' in said) return { type: done.type, payload: said.done }
  if (rejected === null) throw new Error(`${type} cannot be refused by its contract, but was: ${said.rejected}`)
  return { type: rejected.type, payload: rejected.refuse(said.rejected) }
}

/** Whose activity it is, kept in the activity's id: the number tells apart those that are under way at the same time. */
export interface Commanded {
  /** The command's id: its idempotency key. */
  readonly id: string
  /** Of an undo: the id of the command that it undoes. */
  readonly undoes: string | null
}

export const activityIdOf = ({ id, undoes }: Commanded, number: number): string =>
  `${number} ${visible(id)} ${visible(undoes ?? '')}`

/** An id may hold anything that a workflow's may; as a key it goes into headers, too. */
const visible = (id: string): string => id.replaceAll(/[^\x21-\x7e]/gu, (each) => encodeURIComponent(each))

/** What an activity of such a call is told of its command; null where the id is of somebody else. */
export function commandedBy(activityId: string): Commanded | null {
  const [, id, undoes] = /^\d+ (\S+) (\S*)$/.exec(activityId) ?? []
  return id === undefined || undoes === undefined ? null : { id, undoes: undoes === '' ? null : undoes }
}
