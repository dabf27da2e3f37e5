/** How the clients of one orchestrator know its sagas: the one thing that the routes of the shell cannot know. */
import type { Event } from 'ordersaga/events'
import type { StoredSaga } from 'ordersaga/store'
import { z } from 'zod'

/** An event, whatever it holds besides. */
export const EventView = z.looseObject({ type: z.string().meta({ example: 'StepDone' }) })

export interface Presenter<Summary = object, View = object> {
  readonly summary: z.ZodType<Summary>
  readonly view: z.ZodType<View>
  /** A saga in a list. */
  readonly summaryOf: (saga: StoredSaga) => Summary
  /** A saga by itself. */
  readonly viewOf: (saga: StoredSaga) => View
  /** What happened to a saga, in the words of its clients, and without what is for the saga alone. */
  readonly eventView: (event: Event) => object
  /** Steps whose answers are for the saga alone, also where an operator looks. */
  readonly secretSteps?: readonly string[]
}
