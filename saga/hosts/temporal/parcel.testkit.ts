/** A saga for workflows that others start, in two versions. Its commands are activities of others; the last is one of ours. */
import { z } from 'zod'
import type { Command } from '../../core/pending.ts'
import { participantContract } from '../../declare/contract.ts'
import { defineSaga } from '../../declare/define.ts'
import type { ActivityCall, Outcome, Said } from './calls.ts'

const shop = participantContract('shop', { tombstones: true })
const payload = z.object({ item: z.string() })
const refused = z.object({ error: z.string() })
const answers = (type: string) =>
  ({ done: [`${type}.done`, z.object({}).nullish()], rejected: [`${type}.refused`, refused] }) as const

const weigh = shop.command('weigh', { payload, ...answers('weigh') })
const pack = shop.command('pack', { payload, ...answers('pack') })
const unpack = shop.command('unpack', { payload, ...answers('unpack') })
const insure = shop.command('insure', { payload, ...answers('insure') })
export const ship = shop.command('ship', { payload, ...answers('ship') })

const ofItem = ({ input: { item } }: { readonly input: { readonly item: string } }) => ({ item })
/** An attempt of an activity that nobody takes, or that says nothing, ends soon; not while a busy machine is at it. */
const attemptMs = 8_000

const begun = (version: number) =>
  defineSaga('parcel', { version, input: payload })
    .step('weigh', { do: weigh, with: ofItem, effect: 'none', attemptMs })
    .step('pack', { do: pack, with: ofItem, undo: unpack, undoWith: ofItem, attemptMs })

export const parcel = begun(1).step('ship', { do: ship, with: ofItem, attemptMs }).pivot().end()

export const insuredParcel = begun(2)
  .step('insure', { do: insure, with: ofItem, effect: 'none', attemptMs })
  .step('ship', { do: ship, with: ofItem, attemptMs })
  .pivot()
  .end()

/** They say `true`, or what is in the way; one that fails finally has refused. */
function hear(outcome: Outcome): Said | null {
  if ('result' in outcome) return outcome.result === true ? { done: {} } : { rejected: String(outcome.result) }
  return outcome.failed.isFinal ? { rejected: `${outcome.failed.type}: ${outcome.failed.message}` } : null
}

export function call({ type, payload: asked }: Command): ActivityCall | null {
  const { item } = asked as { readonly item: string }
  return type === 'ship' ? null : { activity: `their_${type}`, args: [item, 1], local: type === 'weigh', hear }
}

/** As others start it: the item, and what is not for the saga. */
export const input = (item: unknown): unknown => ({ item })
