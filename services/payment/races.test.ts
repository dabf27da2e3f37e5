import { sqlitePlace } from '../shared/testing/places.ts'
import { paymentRacesContract } from './races.contract.ts'

paymentRacesContract('SQLite', sqlitePlace, 80)
