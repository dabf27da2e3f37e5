import { sqlitePlace } from '../testing/places.ts'
import { outboxContract } from './outbox.contract.ts'

outboxContract('SQLite', sqlitePlace)
