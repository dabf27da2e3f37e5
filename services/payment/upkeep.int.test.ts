import { postgresUrl, suiteOn } from '../../tests/kit/parts.ts'
import { postgresPlace } from '../shared/testing/places.ts'
import { paymentUpkeepContract } from './upkeep.contract.ts'

suiteOn('PostgreSQL', await postgresUrl(), 'the upkeep of payments on a real server', () =>
  paymentUpkeepContract('PostgreSQL', postgresPlace),
)
