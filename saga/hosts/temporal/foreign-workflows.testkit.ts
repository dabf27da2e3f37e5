/** Workflows that others start, by what they know of them. */
import { call, input, parcel } from './parcel.testkit.ts'
import { foreignSagaWorkflow } from './workflow.ts'

export const ParcelWorkflow = foreignSagaWorkflow(parcel, { input, call, result: () => 'shipped' })
/** Continues as new after every few moves. */
export const ShortParcelWorkflow = foreignSagaWorkflow(parcel, { input, call, continueAfterEvents: 8 })
