import { documentsContract } from './documents.contract.ts'
import { withoutTemporal } from './registry.ts'

documentsContract(withoutTemporal)
