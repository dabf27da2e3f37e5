import { sqlitePlace } from '../shared/testing/places.ts'
import { shopOrderServiceContract } from './service.contract.ts'

shopOrderServiceContract('SQLite', sqlitePlace)
