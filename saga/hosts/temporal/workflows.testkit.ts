/** The workflows of the tests, as a user's file of workflows would be. */
import { doubtful, order, patient, risky, slow, trip, unhurried } from '../host-sagas.testkit.ts'
import { sagaWorkflow } from './workflow.ts'

export const orderWorkflow = sagaWorkflow(order)
export const doubtfulWorkflow = sagaWorkflow(doubtful)
export const unhurriedWorkflow = sagaWorkflow(unhurried)
export const tripWorkflow = sagaWorkflow(trip)
export const riskyWorkflow = sagaWorkflow(risky)
export const slowWorkflow = sagaWorkflow(slow)
export const patientWorkflow = sagaWorkflow(patient)

/** Continues as new after every few moves. */
export const shortRuns = sagaWorkflow([order, trip, risky], { continueAfterEvents: 12 })
