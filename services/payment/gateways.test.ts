import { sqlitePlace } from '../testing/places.ts'
import { gatewaysContract } from './gateways.contract.ts'

gatewaysContract('SQLite', sqlitePlace)
