import type Pg from 'pg'
import { driver } from '../../driver.ts'

export const pg = driver('pg', 'ordersaga/stores/postgres') as typeof Pg
