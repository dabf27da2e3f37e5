import { postgresUrl, suiteOn } from '../../tests/kit/parts.ts'
import { postgresPlace } from '../shared/testing/places.ts'
import { timerServiceContract } from './service.contract.ts'

suiteOn('PostgreSQL', await postgresUrl(), 'the Timer Service on a real server', () =>
  timerServiceContract('PostgreSQL', postgresPlace),
)
