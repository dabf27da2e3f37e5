import { installedPart } from '../kit/private-part.ts'
import { suiteOn } from '../kit/parts.ts'
import { littleStockContract, ordersOr } from './little-stock.contract.ts'

const parts = await Promise.all([installedPart('rabbitmq'), installedPart('redis')])

suiteOn('RabbitMQ and Redis', parts.includes(null) ? null : parts, 'little stock', () =>
  littleStockContract('Redis and RabbitMQ', ordersOr(3_000)),
)
