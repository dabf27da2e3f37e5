import { sqlitePlace } from '../shared/testing/places.ts'
import { shopPaymentServiceContract } from './service.contract.ts'

shopPaymentServiceContract('SQLite', sqlitePlace)
