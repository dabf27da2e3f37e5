/** The same workflow after a new version of its saga. */
import { call, input, insuredParcel, parcel } from './parcel.testkit.ts'
import { foreignSagaWorkflow } from './workflow.ts'

export const ParcelWorkflow = foreignSagaWorkflow([insuredParcel, parcel], { input, call, result: () => 'shipped' })
