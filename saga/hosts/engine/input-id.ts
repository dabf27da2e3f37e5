/** Names of inputs, as they are kept: short and clean like any label, and different where the inputs are. */
import { createHash } from 'node:crypto'
import type { Input } from '../../core/decide.ts'
import type { Event } from '../../core/events.ts'
import type { HistoryEntry } from '../../stores/store.ts'
import { labelOf, longestLabel } from '../label.ts'

/** Of 96 bits, as text. */
const digestLength = 16

/** A foreign id that cannot be kept as it is ends in a digest of the whole: many ids begin alike. */
export function inputIdOf(id: string): string {
  const label = labelOf(id)
  if (label === id) return id
  const digest = createHash('sha256').update(JSON.stringify(id)).digest('base64url').slice(0, digestLength)
  return `${labelOf(id.slice(0, longestLabel - digestLength - 1))}~${digest}`
}

/** What an input is handed over under. Producers use one id for messages of different types, so that the type belongs to it. */
export const handedIdOf = (id: string, input: Input): string =>
  inputIdOf(input.type === 'reply' ? `${input.reply.type} ${id}` : id)

/** Whether an input caused a move, as far as that tells. */
export function isCausedBy({ inputId, events }: HistoryEntry, id: string, input: Input): boolean {
  if (inputId !== inputIdOf(id)) return false
  if (input.type !== 'reply') return true
  const types = events.flatMap(messageTypeIn)
  return types.length === 0 || types.includes(input.reply.type)
}

/** The type of the message that an event came with, where it says so. */
const messageTypeIn = (event: Event): readonly string[] =>
  event.type === 'ReplyIgnored' ? [event.reply] : 'event' in event && event.event ? [event.event.type] : []
