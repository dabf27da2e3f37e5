/** A participant of others, which knows nothing of our ids. */
import type { StepDefinition } from '../../core/definition.ts'
import type { Move, Occurrence, Participant, Saying } from './participant.ts'
import { namesOf, same } from './participant.ts'

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
  const [effect, copies, done, refused, undoSent, undone, undoRefused] = record.split('').map(Number)
  return { effect, copies, done, refused, undoSent, undone, undoRefused } as Foreign
}
const writeForeign = (each: Foreign): string =>
  [each.effect, each.copies, each.done, each.refused, each.undoSent, each.undone, each.undoRefused].join('')

/**
 * Each copy of a command is obeyed anew, whatever came before, and nothing tells which command an answer is for. Its answers to
 * one step are alike.
 */
export function foreignParticipant(step: StepDefinition, answersUndos: boolean): Participant {
  const refusable = step.do?.rejected != null
  const leavesPart = step.do?.rejectedInPart === true
  const undoRefusable = step.undo?.rejected != null
  const { does, refuses, participant } = namesOf(step)

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
      if (refusable && leavesPart) as({ copies, effect: 1, refused: 1 }, `${refuses}, and leaves a part behind`)
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
