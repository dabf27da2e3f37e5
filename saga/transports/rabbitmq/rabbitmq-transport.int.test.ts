import { suiteOn, rabbitmqUrl } from '../../../tests/parts.ts'
import { transportContract } from '../transport.contract.ts'
import { corner } from './rabbitmq.testkit.ts'

suiteOn('RabbitMQ', await rabbitmqUrl(), 'the RabbitMQ transport', (url) => {
  for (const queueType of ['quorum', 'classic'] as const) {
    transportContract(`RabbitMQ, ${queueType} queues`, async () => {
      const own = corner(url)
      return {
        sender: await own.open({ queueType }),
        receiver: await own.open({ queueType }),
        deadLetters: () => own.deadLetters('order_commands.g'),
        dispose: () => own.dispose(),
      }
    })
  }

  transportContract(
    'RabbitMQ, plain queues',
    async () => {
      const own = corner(url, { order_commands: 'orders_queue', payment_commands: 'payment_queue' })
      return {
        sender: await own.open(),
        receiver: await own.open(),
        deadLetters: () => own.deadLetters('orders_queue'),
        dispose: () => own.dispose(),
      }
    },
    { 'each group gets every message, subscribers of one group share them': 'a plain queue has one group' },
  )
})
