import { sqlitePlace } from '../testing/places.ts'
import { paymentRacesContract } from './races.contract.ts'

paymentRacesContract('SQLite', sqlitePlace, 80)
