import { ordersContract } from './orders.contract.ts'

ordersContract('embedded')
ordersContract('SQLite and HTTP')
