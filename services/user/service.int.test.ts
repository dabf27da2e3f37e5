import { postgresUrl, suiteOn } from '../../tests/kit/parts.ts'
import { postgresPlace } from '../shared/testing/places.ts'
import { userServiceContract } from './service.contract.ts'

suiteOn('PostgreSQL', await postgresUrl(), 'the User Service on a real server', () =>
  userServiceContract('PostgreSQL', postgresPlace),
)
