import { postgresUrl, suiteOn } from '../../tests/kit/parts.ts'
import { postgresPlace } from '../shared/testing/places.ts'
import { deliveriesContract } from './deliveries.contract.ts'
import { orderEventsContract } from './events.contract.ts'
import { keyedChangesContract } from './keyed.contract.ts'
import { orderMessagesContract } from './messages.contract.ts'
import { orderRefusalsContract } from './refusals.contract.ts'
import { orderRoutesContract } from './routes.contract.ts'
import { orderServiceContract } from './service.contract.ts'

suiteOn('PostgreSQL', await postgresUrl(), 'the Order Service on a real server', () => {
  orderServiceContract('PostgreSQL', postgresPlace)
  deliveriesContract('PostgreSQL', postgresPlace)
  orderRoutesContract('PostgreSQL', postgresPlace)
  keyedChangesContract('PostgreSQL', postgresPlace)
  orderEventsContract('PostgreSQL', postgresPlace)
  orderMessagesContract('PostgreSQL', postgresPlace)
  orderRefusalsContract('PostgreSQL', postgresPlace)
})
