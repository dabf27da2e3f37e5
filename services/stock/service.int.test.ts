import { postgresUrl, suiteOn } from '../../tests/kit/parts.ts'
import { postgresPlace } from '../shared/testing/places.ts'
import { stockServiceContract } from './service.contract.ts'

suiteOn('PostgreSQL', await postgresUrl(), 'the Stock Service on a real server', () =>
  stockServiceContract('PostgreSQL', postgresPlace),
)
