import { postgresUrl, suiteOn } from '../../tests/parts.ts'
import { postgresPlace } from '../testing/places.ts'
import { paymentServiceContract } from './service.contract.ts'

suiteOn('PostgreSQL', await postgresUrl(), 'the Payment Service on a real server', () =>
  paymentServiceContract('PostgreSQL', postgresPlace),
)
