import { postgresUrl, suiteOn } from '../../tests/kit/parts.ts'
import { postgresPlace } from '../shared/testing/places.ts'
import { gatewaysContract } from './gateways.contract.ts'

suiteOn('PostgreSQL', await postgresUrl(), 'payments of two gateways on a real server', () =>
  gatewaysContract('PostgreSQL', postgresPlace),
)
