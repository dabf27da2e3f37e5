import { sqlitePlace } from '../shared/testing/places.ts'
import { deliveriesContract } from './deliveries.contract.ts'
import { orderEventsContract } from './events.contract.ts'
import { keyedChangesContract } from './keyed.contract.ts'
import { orderMessagesContract } from './messages.contract.ts'
import { orderRefusalsContract } from './refusals.contract.ts'
import { orderRoutesContract } from './routes.contract.ts'
import { orderServiceContract } from './service.contract.ts'

orderServiceContract('SQLite', sqlitePlace)
deliveriesContract('SQLite', sqlitePlace)
orderRoutesContract('SQLite', sqlitePlace)
keyedChangesContract('SQLite', sqlitePlace)
orderEventsContract('SQLite', sqlitePlace)
orderMessagesContract('SQLite', sqlitePlace)
orderRefusalsContract('SQLite', sqlitePlace)
