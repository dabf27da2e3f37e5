import { startEngine } from 'ordersaga/engine'
import { memoryInbox } from 'ordersaga/participant/memory-inbox'
import { memoryStore } from 'ordersaga/stores/memory'
import { kafkaTransport } from 'ordersaga/transports/kafka'
import { rabbitmqTransport } from 'ordersaga/transports/rabbitmq'
import { buy } from './saga.ts'
import { shopService } from './shop.ts'

const { KAFKA = 'localhost:9092', RABBITMQ = 'amqp://guest:guest@localhost:5672', PREFIX = '' } = process.env

for (const transport of [
  kafkaTransport({ brokers: [KAFKA], prefix: PREFIX }),
  rabbitmqTransport({ url: RABBITMQ, prefix: PREFIX }),
]) {
  await shopService(memoryInbox()).attach(transport)
  const engine = await startEngine({ store: memoryStore(), transport, definitions: [buy], group: 'buy-orchestrator' })
  const { saga } = await engine.start(buy, { item: 'milk' })
  console.log((await engine.result(saga.id)).status)
  // COMPLETED
  await engine.stop()
  await transport.close()
}
