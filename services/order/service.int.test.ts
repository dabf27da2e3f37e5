import { postgresUrl, suiteOn } from '../../tests/parts.ts'
import { postgresPlace } from '../testing/places.ts'
import { orderServiceContract } from './service.contract.ts'

suiteOn('PostgreSQL', await postgresUrl(), 'the Order Service on a real server', () =>
  orderServiceContract('PostgreSQL', postgresPlace),
)
