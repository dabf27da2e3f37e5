/**
 * A process that reads `order_commands` for group g, for tests that kill it. It prints a line when it reads, and for each
 * message that it has handled; the message `killer` ends it.
 *
 * Arguments: the options of its transport, as JSON.
 */
import { rabbitmqTransport, type RabbitmqTransportOptions } from './rabbitmq-transport.ts'

const print = (line: string): void => void process.stdout.write(`${line}\n`)

const options = JSON.parse(process.argv[2] ?? '{}') as RabbitmqTransportOptions
const transport = rabbitmqTransport({ ...options, onProblem: ({ what }) => print(`problem ${what}`) })

await transport.subscribe('order_commands', 'g', async (batch) => {
  for (const { id } of batch) {
    if (id === 'killer') process.kill(process.pid, 'SIGKILL')
    await new Promise(setImmediate)
    print(`handled ${id}`)
  }
})
print('reads')
