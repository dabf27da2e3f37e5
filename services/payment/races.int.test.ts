import { postgresUrl, suiteOn } from '../../tests/parts.ts'
import { postgresPlace } from '../testing/places.ts'
import { paymentRacesContract } from './races.contract.ts'

suiteOn('PostgreSQL', await postgresUrl(), 'payment races', () => {
  paymentRacesContract('PostgreSQL', postgresPlace, 40)
})
