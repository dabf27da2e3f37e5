import { sqlitePlace } from '../shared/testing/places.ts'
import { gatewaysContract } from './gateways.contract.ts'

gatewaysContract('SQLite', sqlitePlace)
