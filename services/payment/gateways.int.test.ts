import { postgresUrl, suiteOn } from '../../tests/parts.ts'
import { postgresPlace } from '../testing/places.ts'
import { gatewaysContract } from './gateways.contract.ts'

suiteOn('PostgreSQL', await postgresUrl(), 'payments of two gateways on a real server', () =>
  gatewaysContract('PostgreSQL', postgresPlace),
)
