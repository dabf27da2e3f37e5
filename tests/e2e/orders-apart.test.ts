import { ordersContract } from './orders.contract.ts'

ordersContract('SQLite and HTTP')
