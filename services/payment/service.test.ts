import { sqlitePlace } from '../testing/places.ts'
import { paymentServiceContract } from './service.contract.ts'

paymentServiceContract('SQLite', sqlitePlace)
