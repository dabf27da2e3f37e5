/** A participant that is built with the kit. */
import type { StepDefinition } from '../../core/definition.ts'
import type { Direction } from '../../core/pending.ts'
import type { Move, Participant, Saying } from './participant.ts'
import { namesOf, same } from './participant.ts'
import type { Rules } from './rules.ts'

/** Letters of a command's place: not sent; on its way; done; done, then undone; refused; refused with a part done; kept out; done more than once. */
type Place = '-' | 'S' | 'D' | 'X' | 'R' | 'P' | 'T' | '2'

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

const inEffect = (place: Place): boolean => place === 'D' || place === '2' || place === 'P'
const withoutEffect = (place: Place): Place => (place === 'P' ? 'R' : inEffect(place) ? 'X' : place)
/** Of two earlier commands the one that may still matter. */
const older = (now: Place, old: Place): Place => (inEffect(old) || old === 'S' ? old : now)

/** It keeps its answers by the id of the command, and leaves tombstones where its contract says so. */
export function ownParticipant(step: StepDefinition, rules: Rules): Participant {
  const refusable = step.do?.rejected != null
  const leavesPart = refusable && step.do.rejectedInPart
  const undoRefusable = step.undo?.rejected != null
  const tombstones = rules.tombstones && step.do?.tombstones === true
  const { does, refuses, participant } = namesOf(step)
  const answers = (direction: Direction): boolean =>
    (direction === 'do' ? step.do : direction === 'undo' ? step.undo : step.query)?.answered === true

  const undone = (own: Own): Own => ({
    ...own,
    now: own.now === 'S' && tombstones ? 'T' : withoutEffect(own.now),
    old: withoutEffect(own.old),
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
        return [
          as('D', does),
          ...(refusable ? [as('R', refuses)] : []),
          ...(leavesPart ? [as('P', `${refuses}, and leaves a part behind`)] : []),
        ]
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
    return (place === 'R' || place === 'P' || place === 'T') && canRefuse ? [{ to, old, kind: 'rejected' }] : []
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
      const each = (place: Place): number => (place === '2' ? 2 : inEffect(place) ? 1 : 0)
      return Math.min(2, each(now) + each(old))
    },
  }
}
