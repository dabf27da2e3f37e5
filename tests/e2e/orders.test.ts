import { ordersContract } from './orders.contract.ts'

ordersContract('embedded')
