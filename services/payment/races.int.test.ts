import { postgresUrl, suiteOn } from '../../tests/kit/parts.ts'
import { postgresPlace } from '../shared/testing/places.ts'
import { paymentRacesContract } from './races.contract.ts'

suiteOn('PostgreSQL', await postgresUrl(), 'payment races', () => {
  paymentRacesContract('PostgreSQL', postgresPlace, 40)
})
