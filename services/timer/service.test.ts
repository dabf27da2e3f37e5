import { sqlitePlace } from '../shared/testing/places.ts'
import { timerServiceContract } from './service.contract.ts'

timerServiceContract('SQLite', sqlitePlace)
