import { sqlitePlace } from '../testing/places.ts'
import { orderServiceContract } from './service.contract.ts'

orderServiceContract('SQLite', sqlitePlace)
