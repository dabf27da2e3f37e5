import { postgresUrl, suiteOn } from '../../tests/kit/parts.ts'
import { postgresPlace } from '../shared/testing/places.ts'
import { shopOrderServiceContract } from './service.contract.ts'

suiteOn('PostgreSQL', await postgresUrl(), 'the Shop Order Service on a real server', () =>
  shopOrderServiceContract('PostgreSQL', postgresPlace),
)
