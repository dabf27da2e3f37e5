import { sqlitePlace } from '../testing/places.ts'
import { userServiceContract } from './service.contract.ts'

userServiceContract('SQLite', sqlitePlace)
