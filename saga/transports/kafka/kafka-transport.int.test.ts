import { kafkaBrokers, suiteOn } from '../../../tests/parts.ts'
import { transportContract } from '../transport.contract.ts'
import { corner } from './kafka.testkit.ts'

suiteOn('Kafka', await kafkaBrokers(), 'the Kafka transport', (brokers) => {
  transportContract('Kafka', async () => {
    const own = corner(brokers)
    return {
      sender: own.open(),
      receiver: own.open(),
      deadLetters: () => own.deadLetters('order_commands'),
      dispose: () => own.dispose(),
    }
  })
})
