import { postgresUrl, suiteOn } from '../../tests/kit/parts.ts'
import { postgresPlace } from '../shared/testing/places.ts'
import { paymentServiceContract } from './service.contract.ts'

suiteOn('PostgreSQL', await postgresUrl(), 'the Payment Service on a real server', () =>
  paymentServiceContract('PostgreSQL', postgresPlace),
)
