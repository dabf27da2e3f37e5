import { sqlitePlace } from '../shared/testing/places.ts'
import { authServiceContract } from './service.contract.ts'

authServiceContract('SQLite', sqlitePlace)
