import { sqlitePlace } from '../shared/testing/places.ts'
import { paymentServiceContract } from './service.contract.ts'

paymentServiceContract('SQLite', sqlitePlace)
