import { sqlitePlace } from '../shared/testing/places.ts'
import { userServiceContract } from './service.contract.ts'

userServiceContract('SQLite', sqlitePlace)
