/** What our client and our workflow say to each other. Both sides import it, so it holds nothing that a workflow may not. */
import type { SagaState, SagaStatus } from '../../core/state.ts'
import type { Moved } from '../host.ts'

/** What a saga's workflow is started with. */
export interface Begin {
  readonly id: string
  readonly definition: string
  readonly version: number
  /** Names the structure that the saga begins under. */
  readonly structure: string
  readonly seed: number
  /** As the definition's schema has read it. */
  readonly input: unknown
  /** The namespace has our search attributes. */
  readonly indexed: boolean
  /** The label that the saga was started with, for lists. */
  readonly businessKey: string | null
  /** Of a run that continues another: where that one stood. */
  readonly carried?: Carried | undefined
}

export interface Carried {
  readonly state: SagaState
  readonly seq: number
  /** When the saga was last moved, Unix milliseconds. */
  readonly at: number
}

/** What a saga's workflow ends with: its result, or the first detail of its failure. */
export interface Ended {
  readonly status: SagaStatus
  readonly input: unknown
  readonly replies: Readonly<Record<string, unknown>>
  readonly error: SagaState['error']
  /** Steps that may have left an effect when an operator gave up. */
  readonly leftBehind: readonly string[]
}

/** Moves of one run of a workflow. */
export interface Moves {
  readonly moves: readonly Moved[]
  /** There are more after these, in this run. */
  readonly more: boolean
  /** The first that this run has made. */
  readonly firstSeq: number
  /** The run that this one continues, which has the moves before. */
  readonly before: string | null
}

/** Of updates (they are answered), and of signals (`cancel` and `deliver`). */
export const requests = { cancel: 'cancel', act: 'act', deliver: 'deliver' } as const

export const queries = { state: 'state', moves: 'moves' } as const

/** The namespace's own, of type Keyword each. */
export const attributes = {
  definition: 'SagaDefinition',
  status: 'SagaStatus',
  businessKey: 'SagaBusinessKey',
} as const

/** Memo fields: what a start is compared by, and why a saga is parked. */
export const memo = { fingerprint: 'ordersagaStart', parked: 'ordersagaParked' } as const

/** A command as its activity gets it: the second argument is how long its answer is waited for, in milliseconds. */
export interface Told {
  readonly type: string
  readonly payload: unknown
}
