/** The workflows of the tests, as a user's file of workflows would be. */
import { order, risky, trip } from '../host-sagas.testkit.ts'
import { sagaWorkflow } from './workflow.ts'

export const orderWorkflow = sagaWorkflow(order)
export const tripWorkflow = sagaWorkflow(trip)
export const riskyWorkflow = sagaWorkflow(risky)

/** Continues as new after every few moves. */
export const shortRuns = sagaWorkflow([order, trip], { continueAfterEvents: 12 })
