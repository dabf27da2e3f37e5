import { postgresUrl, suiteOn } from '../../tests/parts.ts'
import { postgresPlace } from '../testing/places.ts'
import { userServiceContract } from './service.contract.ts'

suiteOn('PostgreSQL', await postgresUrl(), 'the User Service on a real server', () =>
  userServiceContract('PostgreSQL', postgresPlace),
)
