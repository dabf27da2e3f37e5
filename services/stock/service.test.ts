import { sqlitePlace } from '../shared/testing/places.ts'
import { stockServiceContract } from './service.contract.ts'

stockServiceContract('SQLite', sqlitePlace)
