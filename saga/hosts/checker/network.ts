/**
 * What was sent, and all that may have become of it.
 *
 * Nobody sees a participant but by its answers. So the walk does not choose when a command arrives and what comes of it: it
 * keeps, for each step, the set of all records that fit what the saga has seen, and narrows it with each answer. That is exact
 * (the subset construction of automata): an answer is possible just where some record gives it, and what holds of all records
 * in the set holds in every world that looks like this to the saga. Participants do not know of each other, so that a set for
 * each step says it all.
 */
import type { Direction } from '../../core/pending.ts'
import type { Occurrence, Participant, Saying } from './participant.ts'
import { same } from './participant.ts'

/** The ids under which a step's commands were last sent. */
export type Ids = Readonly<Partial<Record<Direction, string>>>

export interface Belief {
  /** Tells it apart from others of its step. */
  readonly key: number
  readonly ids: Ids
  /** Never empty. */
  readonly records: readonly string[]
  /** What may be heard. */
  readonly sayings: readonly Saying[]
}

/** All that may be believed of one step. */
export class Beliefs {
  readonly participant: Participant
  readonly first: Belief
  readonly #known = new Map<string, Belief>()
  readonly #maySay = new Map<string, ReadonlySet<string>>()
  readonly #after = new Map<string, Belief | null>()

  constructor(participant: Participant) {
    this.participant = participant
    this.first = this.#belief({}, [participant.first])
  }

  /** Null where nothing that is believed allows it. */
  after(belief: Belief, occurrence: Occurrence): Belief | null {
    const key = `${belief.key} ${nameOf(occurrence)}`
    const known = this.#after.get(key)
    if (known !== undefined) return known
    const records = belief.records.flatMap((record) => this.participant.after(record, occurrence) ?? [])
    const next = records.length === 0 ? null : this.#belief(belief.ids, records)
    this.#after.set(key, next)
    return next
  }

  /** A command is outstanding: it has been sent, under this id. `times` counts only where repeats do. */
  send(belief: Belief, direction: Direction, id: string, times: number): readonly [Belief, readonly Occurrence[]] {
    const fresh = belief.ids[direction] !== id
    const counts = this.participant.forgetful ? times : 0
    const occurrences = Array.from({ length: Math.max(fresh ? 1 : 0, counts) }, (_each, index): Occurrence => ({
      type: 'send',
      direction,
      fresh: fresh && index === 0,
    }))
    const sent = occurrences.reduce((all, each) => this.after(all, each) ?? all, belief)
    return [fresh ? this.named(sent, { ...belief.ids, [direction]: id }) : sent, occurrences]
  }

  /** The same under other ids. */
  named(belief: Belief, ids: Ids): Belief {
    const key = `${belief.key} ids ${ids.do} ${ids.undo} ${ids.query}`
    const known = this.#after.get(key) ?? this.#belief(ids, belief.records)
    this.#after.set(key, known)
    return known
  }

  /** All records that a record may become by what happens unseen. */
  closure(records: readonly string[]): readonly string[] {
    const found = new Set(records)
    for (const record of found) for (const { to } of this.participant.moves(record)) found.add(to)
    return [...found].toSorted()
  }

  /** What a participant may say sooner or later, without anything more being sent. */
  maySay(record: string): ReadonlySet<string> {
    const known = this.#maySay.get(record)
    if (known !== undefined) return known
    const all = this.closure([record]).flatMap((each) => this.participant.sayings(each).map(sayingName))
    const found = new Set(all)
    this.#maySay.set(record, found)
    return found
  }

  #belief(ids: Ids, begun: readonly string[]): Belief {
    const records = this.closure(begun)
    const name = JSON.stringify([ids.do, ids.undo, ids.query, records])
    const known = this.#known.get(name)
    if (known !== undefined) return known
    const sayings: Saying[] = []
    for (const saying of records.flatMap((record) => this.participant.sayings(record)))
      if (!sayings.some((each) => same(each, saying))) sayings.push(saying)
    const belief = { key: this.#known.size, ids, records, sayings }
    this.#known.set(name, belief)
    return belief
  }
}

/** The id of the command that an answer is for; of an earlier round it is known that it is another. */
export const idOf = ({ ids }: Belief, { to, old }: Saying): string => `${ids[to]}${old ? '0' : ''}`

const nameOf = (occurrence: Occurrence): string => {
  switch (occurrence.type) {
    case 'send':
      return `send ${occurrence.direction} ${occurrence.fresh}`
    case 'hear':
      return `hear ${sayingName(occurrence.saying)}`
    case 'taken':
      return `taken ${occurrence.direction}`
    case 'look':
      return `look ${occurrence.effect}`
  }
}

export const sayingName = ({ to, old, kind }: Saying): string => `${old ? 'old ' : ''}${to} ${kind}`
