import { sqlitePlace } from '../shared/testing/places.ts'
import { paymentUpkeepContract } from './upkeep.contract.ts'

paymentUpkeepContract('SQLite', sqlitePlace)
