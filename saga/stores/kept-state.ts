/**
 * When a saga's state is kept, and how the state at its last move is made from one that was kept earlier.
 *
 * A state grows with its saga, a move does not: so the longer a saga is, the more moves share the cost of keeping its state
 * once, and the more are folded when it is read. A move then costs the same however many came before it.
 */
import type { Event } from '../core/events.ts'
import { evolve } from '../core/evolve.ts'
import type { SagaState } from '../core/state.ts'
import { readSteps } from '../core/steps.ts'
import { jsonOf } from './json.ts'
import type { Move } from './store.ts'

/** A state as it is, or as an earlier version kept it: its steps in one flat object. */
const readState = (kept: SagaState): SagaState => ({ ...kept, steps: readSteps(kept.steps) })

/** Of one move. */
export type Events = readonly Event[]

const fewestMoves = 16

/** How many moves apart states are kept when a saga is at `seq`: an eighth to a sixteenth of them, a power of two. */
const distanceAt = (seq: number): number => Math.max(fewestMoves, 2 ** (Math.floor(Math.log2(seq)) - 3))

/** The state that is kept with a move, as text: now and then, and where nothing follows by itself. Null otherwise. */
export function stateToKeep({ id, fromSeq, toSeq, live, state }: Move): string | null {
  const distance = distanceAt(toSeq)
  const isDue = Math.floor(fromSeq / distance) < Math.floor(toSeq / distance)
  return isDue || !live ? jsonOf(id, state) : null
}

/**
 * The state at `seq`, from the one that was kept with move `keptAt` (0 and null where none was yet) and the moves since.
 *
 * @throws where those are not all the moves since
 */
export function foldSince(kept: string | null, keptAt: number, later: readonly Events[], seq: number): unknown {
  if (keptAt + later.length !== seq)
    throw new Error(`it is at move ${seq}, but after ${keptAt} its history has ${later.length}`)
  return later.flat().reduce(evolve, kept === null ? null : readState(JSON.parse(kept) as SagaState))
}
