import { postgresUrl, suiteOn } from '../../tests/kit/parts.ts'
import { postgresPlace } from '../shared/testing/places.ts'
import { shopPaymentServiceContract } from './service.contract.ts'

suiteOn('PostgreSQL', await postgresUrl(), 'the Shop Payment Service on a real server', () =>
  shopPaymentServiceContract('PostgreSQL', postgresPlace),
)
