import { postgresUrl, suiteOn } from '../../tests/kit/parts.ts'
import { postgresPlace } from '../shared/testing/places.ts'
import { authServiceContract } from './service.contract.ts'

suiteOn('PostgreSQL', await postgresUrl(), 'the Auth Service on a real server', () =>
  authServiceContract('PostgreSQL', postgresPlace),
)
