/**
 * The activities that commands of sagas are: by functions, one for each contract, or by a transport to participants elsewhere.
 * Pass them to the worker. What throws, or takes too long, leaves its command's outcome unknown; the saga settles that.
 */
import type { CommandContract } from '../../core/contract.ts'
import { check } from '../../core/contract.ts'
import type { SagaDefinition } from '../../core/definition.ts'
import type { Command } from '../../core/pending.ts'
import type { Transport } from '../../transports/transport.ts'
import { EngineError } from '../engine/errors.ts'
import { Registry } from '../engine/registry.ts'
import { messageOf } from '../message.ts'
import { toldBy, type Said } from './calls.ts'
import type { Told } from './protocol.ts'

export { commandedBy, type Commanded } from './calls.ts'
export type { Told } from './protocol.ts'

/** What a function says to a command: it was done, or refused. Null where its answer comes later, by `deliver`. */
export type Obeyed<Data> = Said<Data> | null

/** A function that obeys the commands of a contract. */
export interface Obeying {
  readonly contract: CommandContract
  /** @internal */
  readonly obey: (command: Command, signal: AbortSignal) => Promise<Told | null>
}

export interface SagaActivitiesOptions {
  /** Every definition whose commands this worker carries out. */
  readonly definitions: readonly SagaDefinition[]
  readonly functions?: readonly Obeying[]
  /** Commands that workflows call as activities of others (`call`): nobody obeys them here. */
  readonly foreign?: readonly CommandContract[]
  /** Takes what no function obeys. Answers come by its channels: `takeAnswers` brings them to the sagas. */
  readonly transport?: Transport
}

/** By the command's type. `forMs` is how long its answer is heard, in milliseconds. */
export type SagaActivities = Readonly<Record<string, (command: Command, forMs: number) => Promise<Told | null>>>

/**
 * A function for the commands of a contract. It may be called again with a command's id, and must then do nothing twice and
 * say the same. `signal` aborts when nobody hears its answer any more.
 *
 * @example
 * obey(pay, async ({ amount }, { id }) => ({ done: await charge(amount, { idempotencyKey: id }) }))
 */
export const obey = <Payload, Data, Received, Given>(
  contract: CommandContract<Payload, Data, Received, Given>,
  work: (payload: Received, command: Command, signal: AbortSignal) => Promise<Obeyed<Given>>,
): Obeying => ({
  contract: checkedContract(contract, work),
  async obey(command, signal) {
    const { type } = contract
    const payload = check(contract.payload, command.payload)
    if (!payload.ok) throw new Error(`the payload of ${type} does not fit its contract: ${payload.why}`)
    const obeyed = await work(payload.value, command, signal)
    // A notice is done once its function has returned, as on the engine once it is sent: there is no answer to read.
    return obeyed === null || contract.done.type === '' ? null : toldBy(contract, obeyed)
  },
})

/** @throws TypeError */
function checkedContract<Contract extends Pick<CommandContract, 'type' | 'commandChannel'>>(
  contract: Contract,
  work: unknown,
): Contract {
  if (typeof (contract as Contract | null | undefined)?.commandChannel !== 'string')
    throw new TypeError(
      `obey needs a command's contract, as participantContract makes it; it was given ${typeof contract}.`,
    )
  if (typeof work !== 'function') throw new TypeError(`obey needs the function that obeys ${contract.type}.`)
  return contract
}

/** @throws EngineError invalid_definition where nobody would obey a command */
export function sagaActivities({
  definitions,
  functions = [],
  foreign = [],
  transport,
}: SagaActivitiesOptions): SagaActivities {
  const contracts = new Registry(definitions, 'sagaActivities').contracts.filter((each) => !foreign.includes(each))
  const twice = functions.find(({ contract }, at) => functions.findIndex((each) => each.contract === contract) !== at)
  if (twice !== undefined)
    throw new TypeError(`sagaActivities was given two functions for ${twice.contract.type}: leave one of them out.`)
  const obeyed = (contract: CommandContract): boolean =>
    functions.some((each) => each.contract.type === contract.type && sameChannel(each.contract, contract))
  const left = transport === undefined ? contracts.filter((contract) => !obeyed(contract)) : []
  if (left.length > 0)
    throw new EngineError(
      'invalid_definition',
      `nobody obeys ${[...new Set(left.map(({ type }) => type))].join(', ')}: pass functions for them (obey), or a transport; name those that a workflow calls as activities of others in foreign.`,
    )

  async function carryOut(command: Command, forMs: number): Promise<Told | null> {
    const { type, channel, payload } = command
    const found = functions.find(
      ({ contract }) => contract.type === type && contract.commandChannel === channel && contract.when(payload),
    )
    if (found !== undefined) return found.obey(command, AbortSignal.timeout(forMs))
    if (transport === undefined) throw new Error(`no function obeys this ${type}: none is for its payload`)
    await transport.publish(channel, [messageOf(command, new Date().toISOString())])
    return null
  }
  return Object.fromEntries(contracts.map(({ type }) => [type, carryOut]))
}

const sameChannel = (one: CommandContract, other: CommandContract): boolean =>
  one.commandChannel === other.commandChannel
