/**
 * What may have become of one step's commands: a small automaton for the participant and the network before it.
 *
 * A record is one way in which things may stand there. `moves` are what happens unseen: a command arrives (a message that was
 * sent may arrive at any time, any number of times, or never), with each outcome that its contract allows. `sayings` are the
 * answers that may reach the saga, each as often as it likes.
 */
import type { StepDefinition } from '../../core/definition.ts'
import type { Direction } from '../../core/pending.ts'
import type { Rules } from './rules.ts'

/** An answer: to the command of a direction, or to the one of the round before it (`old`). */
export interface Saying {
  readonly to: Direction
  readonly old: boolean
  readonly kind: 'done' | 'rejected'
}

/** What happens at a step's participant that the saga causes or sees. */
export type Occurrence =
  /** Sent; `fresh` under a new id. Of a repeat it is told where it counts. */
  | { readonly type: 'send'; readonly direction: Direction; readonly fresh: boolean }
  | { readonly type: 'hear'; readonly saying: Saying }
  /** The transport has taken a command that nobody answers: it arrives before what is sent later. */
  | { readonly type: 'taken'; readonly direction: Direction }
  /** A person has looked. */
  | { readonly type: 'look'; readonly effect: boolean }

export interface Move {
  readonly to: string
  /** For the story. */
  readonly tells: string
}

/** Records are short texts, so that they can be compared and kept in sets. */
export interface Participant {
  readonly first: string
  /** How a record is after an occurrence; null where that cannot be. */
  after(record: string, occurrence: Occurrence): string | null
  moves(record: string): readonly Move[]
  sayings(record: string): readonly Saying[]
  /** How often the step is in effect: 0, 1, or 2 for more. */
  effects(record: string): number
  /** It does not keep its answers, so that a repeat may take effect again. */
  readonly forgetful: boolean
}

const names = (step: StepDefinition) => {
  const { participant } = step.do ?? { participant: '' }
  return { does: `${participant} does ${step.name}`, refuses: `${participant} refuses ${step.name}`, participant }
}

/** Letters of a command's place: not sent; on its way; done; done, then undone; refused; kept out; done more than once. */
type Place = '-' | 'S' | 'D' | 'X' | 'R' | 'T' | '2'

interface Own {
  readonly now: Place
  readonly old: Place
  readonly undo: Place
  readonly oldUndo: Place
  /** Query: not sent, sent, and which answers it has had. */
  readonly query: '-' | 'S' | 'y' | 'n' | 'b'
}

const read = (record: string): Own => {
  const [now, old, undo, oldUndo, query] = record as unknown as readonly [Place, Place, Place, Place, Own['query']]
  return { now, old, undo, oldUndo, query }
}
const write = ({ now, old, undo, oldUndo, query }: Own): string => now + old + undo + oldUndo + query

const inEffect = (place: Place): boolean => place === 'D' || place === '2'
/** Of two earlier commands the one that may still matter. */
const older = (now: Place, old: Place): Place => (inEffect(old) || old === 'S' ? old : now)

/** A participant built with the kit: it keeps its answers by the id of the command; it leaves tombstones where its contract says so. */
export function ownParticipant(step: StepDefinition, rules: Rules): Participant {
  const refusable = step.do?.rejected != null
  const undoRefusable = step.undo?.rejected != null
  const tombstones = rules.tombstones && step.do?.tombstones === true
  const { does, refuses, participant } = names(step)
  const answers = (direction: Direction): boolean =>
    (direction === 'do' ? step.do : direction === 'undo' ? step.undo : step.query)?.answered === true

  const undone = (own: Own): Own => ({
    ...own,
    now: inEffect(own.now) ? 'X' : own.now === 'S' && tombstones ? 'T' : own.now,
    old: inEffect(own.old) ? 'X' : own.old,
  })

  const undoes = (own: Own): string => {
    if (inEffect(own.now) || inEffect(own.old)) return `${participant} undoes ${step.name}`
    if (own.now !== 'S') return `the undo of ${step.name} finds nothing to undo`
    const kept = tombstones ? 'which leaves a tombstone' : 'which leaves no tombstone'
    return `the undo of ${step.name} reaches ${participant} before its command, ${kept}`
  }

  function arrive(own: Own): Move[] {
    const as = (now: Place, tells: string): Move => ({ to: write({ ...own, now }), tells })
    switch (own.now) {
      case 'S':
        return [as('D', does), ...(refusable ? [as('R', refuses)] : [])]
      case 'T':
        return rules.heedsTombstones ? [] : [as('D', `${does}, although it was undone`)]
      case 'D':
        return rules.stores ? [] : [as('2', `${does} again`)]
      case 'R':
      case 'X':
        return rules.stores ? [] : [as('D', `${does} again`)]
      default:
        return []
    }
  }

  function arriveUndo(own: Own): Move[] {
    const found: Move[] = []
    if (own.undo === 'S') {
      found.push({ to: write({ ...undone(own), undo: 'D' }), tells: undoes(own) })
      if (undoRefusable)
        found.push({ to: write({ ...own, undo: 'R' }), tells: `${participant} refuses the undo of ${step.name}` })
    }
    if (own.oldUndo === 'S') found.push({ to: write({ ...undone(own), oldUndo: 'D' }), tells: undoes(own) })
    return found
  }

  function arriveQuery(own: Own): Move[] {
    if (own.query === '-') return []
    const effect = inEffect(own.now)
    const answer = effect ? 'y' : 'n'
    const query = own.query === 'S' || own.query === answer ? answer : 'b'
    const tells = `${participant} is asked about ${step.name} and finds ${effect ? 'it done' : 'nothing'}`
    return query === own.query ? [] : [{ to: write({ ...own, query }), tells }]
  }

  function send(own: Own, direction: Direction, fresh: boolean): Own {
    if (direction === 'query') return own.query === '-' ? { ...own, query: 'S' } : own
    if (!fresh) return own
    if (direction === 'do') return { ...own, now: 'S', old: older(own.now, own.old) }
    return { ...own, undo: 'S', oldUndo: own.oldUndo === 'S' ? 'S' : own.undo }
  }

  /** What was refused before what is done tells nothing any more. */
  function heard(own: Own, { to, old, kind }: Saying): Own {
    if (old || kind === 'rejected') return own
    if (to === 'undo') return own.oldUndo === 'R' ? { ...own, oldUndo: '-' } : own
    return to === 'do' && own.old === 'R' ? { ...own, old: '-' } : own
  }

  const says = (to: Direction, old: boolean, place: Place, canRefuse: boolean): readonly Saying[] => {
    if (!answers(to)) return []
    if (place === 'D' || place === 'X' || place === '2') return [{ to, old, kind: 'done' }]
    return (place === 'R' || place === 'T') && canRefuse ? [{ to, old, kind: 'rejected' }] : []
  }

  return {
    first: '-----',
    forgetful: false,
    after(record, occurrence) {
      const own = read(record)
      switch (occurrence.type) {
        case 'send':
          return write(send(own, occurrence.direction, occurrence.fresh))
        case 'hear':
          if (!this.sayings(record).some((each) => same(each, occurrence.saying))) return null
          return write(heard(own, occurrence.saying))
        case 'taken':
          if (occurrence.direction === 'undo') return own.undo === 'S' ? write({ ...undone(own), undo: 'D' }) : record
          return own.now === 'S' ? write({ ...own, now: 'D' }) : record
        case 'look':
          return this.effects(record) > 0 === occurrence.effect ? record : null
      }
    },
    moves(record) {
      const own = read(record)
      const old: Move[] = own.old === 'S' ? [{ to: write({ ...own, old: 'D' }), tells: `${does}, late` }] : []
      return [...arrive(own), ...old, ...arriveUndo(own), ...arriveQuery(own)]
    },
    sayings(record) {
      const { now, old, undo, oldUndo, query } = read(record)
      return [
        ...says('do', false, now, refusable),
        ...says('do', true, old, refusable),
        ...says('undo', false, undo, undoRefusable),
        ...says('undo', true, oldUndo, undoRefusable),
        ...says('query', false, query === 'y' || query === 'b' ? 'D' : '-', false),
        ...says('query', false, query === 'n' || query === 'b' ? 'R' : '-', step.query?.rejected != null),
      ]
    },
    effects(record) {
      const { now, old } = read(record)
      const each = (place: Place): number => (place === '2' ? 2 : place === 'D' ? 1 : 0)
      return Math.min(2, each(now) + each(old))
    },
  }
}

export const same = (a: Saying, b: Saying): boolean => a.to === b.to && a.old === b.old && a.kind === b.kind

/** Whether in effect; copies on their way; answers given; the undo: not sent, sent; and its answers. */
interface Foreign {
  readonly effect: 0 | 1
  readonly copies: 0 | 1 | 2
  readonly done: 0 | 1
  readonly refused: 0 | 1
  readonly undoSent: 0 | 1
  readonly undone: 0 | 1
  readonly undoRefused: 0 | 1
}

const readForeign = (record: string): Foreign => {
  const [effect, copies, done, refused, undoSent, undone, undoRefused] = [...record].map(Number) as (0 | 1)[]
  return { effect, copies, done, refused, undoSent, undone, undoRefused } as Foreign
}
const writeForeign = (each: Foreign): string =>
  [each.effect, each.copies, each.done, each.refused, each.undoSent, each.undone, each.undoRefused].join('')

/**
 * A participant of others: each copy of a command is obeyed anew, whatever came before, and nothing tells which command an
 * answer is for. Its answers to one step are alike.
 */
export function foreignParticipant(step: StepDefinition, answersUndos: boolean): Participant {
  const refusable = step.do?.rejected != null
  const undoRefusable = step.undo?.rejected != null
  const { does, refuses, participant } = names(step)

  function moves(record: string): readonly Move[] {
    const now = readForeign(record)
    const found: Move[] = []
    const as = (change: Partial<Foreign>, tells: string): void => {
      const to = writeForeign({ ...now, ...change })
      if (to !== record) found.push({ to, tells })
    }
    if (now.copies > 0) {
      const copies = (now.copies - 1) as Foreign['copies']
      as({ copies, effect: 1, done: 1 }, does)
      if (refusable) as({ copies, refused: 1 }, refuses)
    }
    // What it said to an undo it says to each copy.
    if (now.undoSent === 1 && now.undoRefused === 0) {
      const tells = now.effect === 1 ? `${participant} undoes ${step.name}` : `${participant} finds nothing to undo`
      as({ effect: 0, undone: 1 }, tells)
      if (undoRefusable && now.undone === 0) as({ undoRefused: 1 }, `${participant} refuses the undo of ${step.name}`)
    }
    return found
  }

  function sayings(record: string): readonly Saying[] {
    const { done, refused, undone, undoRefused } = readForeign(record)
    const all = [
      [done, 'do', 'done'],
      [refused, 'do', 'rejected'],
      [answersUndos ? undone : 0, 'undo', 'done'],
      [answersUndos ? undoRefused : 0, 'undo', 'rejected'],
    ] as const
    return all.flatMap(([given, to, kind]) => (given === 1 ? [{ to, old: false, kind }] : []))
  }

  function after(record: string, occurrence: Occurrence): string | null {
    const now = readForeign(record)
    if (occurrence.type === 'hear') return sayings(record).some((each) => same(each, occurrence.saying)) ? record : null
    if (occurrence.type === 'look') return (now.effect === 1) === occurrence.effect ? record : null
    if (occurrence.direction === 'undo') {
      const arrived = occurrence.type === 'taken' ? ({ effect: 0 } as const) : {}
      const anew = occurrence.type === 'send' && occurrence.fresh ? ({ undone: 0, undoRefused: 0 } as const) : {}
      return writeForeign({ ...now, undoSent: 1, ...arrived, ...anew })
    }
    if (occurrence.type === 'taken') return now.copies === 0 ? record : writeForeign({ ...now, copies: 0, effect: 1 })
    return writeForeign({ ...now, copies: Math.min(2, now.copies + 1) as Foreign['copies'] })
  }

  return {
    first: '0000000',
    forgetful: true,
    after,
    moves,
    sayings,
    effects: (record) => readForeign(record).effect,
  }
}
