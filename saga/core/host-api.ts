/**
 * `ordersaga/core`: what a host of sagas needs, and nothing of what it runs them on.
 *
 * A host keeps a saga's state, gives each input to `transition` (or `decide`, and `evolve` where it folds by itself), keeps
 * what that returns, sends what `pending` names, and comes back with the answers, and with a `time` input at `wakeAt`.
 * The parts are files of their own; a host needs them together, and this is the one list of what it may rely on.
 */
export type { Action } from './act.ts'
export { decide, readInput, replay, transition, type Input, type Transition } from './decide.ts'
export type { SagaDefinition } from './definition.ts'
export type { Event } from './events.ts'
export { evolve, openSteps, stepOf } from './evolve.ts'
export { commandId, pending, type Command, type Direction, type Pending } from './pending.ts'
export { backoff } from './retry.ts'
export { seedOf } from './seed.ts'
export { hasEnded, isSettled, type SagaState, type SagaStatus, type StepState } from './state.ts'
export type { Group, Groups, Steps } from './steps.ts'
export type { StepStructure, Structure } from './definition.ts'
