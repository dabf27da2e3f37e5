import { createServer, type AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import type { Problem } from '../../problem.ts'
import { message } from '../transport.contract.ts'
import { rabbitmqTransport } from './rabbitmq-transport.ts'

test.each(['localhost:5672', 'http://user:secret@localhost', 'amqp//user:secret@host', ''])(
  'the address %j is refused without showing it',
  (url) => {
    expect(() => rabbitmqTransport({ url })).toThrow(
      /^the address of RabbitMQ must be a URL such as amqp:\/\/user:password@host:5672\/vhost$/,
    )
  },
)

test('an absent server is a problem that is told once, without the password', async () => {
  const problems: Problem[] = []
  const transport = rabbitmqTransport({
    url: 'amqp://user:secret@127.0.0.1:1',
    timeoutMs: 700,
    onProblem: (problem) => problems.push(problem),
  })
  const error = await transport.publish('order_commands', [message('m')]).catch((caught: unknown) => caught)
  expect(error).toMatchObject({
    name: 'PublishError',
    code: 'not_sent',
    message:
      '1 message to order_commands were not sent (RabbitMQ is away, or takes no messages now): publish again later',
  })
  expect(await transport.ready()).toBe(false)
  await transport.close()
  expect(problems.map(({ what }) => what).sort()).toEqual([
    'RabbitMQ cannot be reached for ordersaga, publishing; it is tried again until it can',
    'RabbitMQ cannot be reached for ordersaga, reading; it is tried again until it can',
  ])
  expect(JSON.stringify([problems, String(error), problems.map(({ cause }) => String(cause))])).not.toContain('secret')
})

test('closing does not wait for a server that takes the connection and says nothing', async () => {
  const mute = createServer((socket) => void socket.on('error', () => undefined).resume())
  await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve))
  const { port } = mute.address() as AddressInfo
  const transport = rabbitmqTransport({ url: `amqp://127.0.0.1:${port}`, timeoutMs: 100 })
  const subscription = await transport.subscribe('order_commands', 'g', async () => undefined)
  await expect(transport.publish('order_commands', [message('m')])).rejects.toThrow('not sent')
  const began = performance.now()
  await subscription.close()
  await transport.close()
  expect(performance.now() - began).toBeLessThan(10_000)
  await new Promise((resolve) => mute.close(resolve))
})
