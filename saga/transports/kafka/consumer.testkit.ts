/**
 * A process that reads `order_commands` for group g, for tests that kill it. It prints a line when it reads, and for each
 * message that it has handled. Asked to end, it closes its transport, and ends once nothing keeps it.
 *
 * Arguments: the options of its transport, as JSON.
 */
import { kafkaTransport, type KafkaTransportOptions } from './kafka-transport.ts'

const print = (line: string): void => void process.stdout.write(`${line}\n`)

const options = JSON.parse(process.argv[2] ?? '{}') as KafkaTransportOptions
const transport = kafkaTransport({ ...options, onProblem: ({ what }) => print(`problem ${what}`) })

await transport.subscribe('order_commands', 'g', async (batch) => {
  for (const { id } of batch) {
    await new Promise(setImmediate)
    print(`handled ${id}`)
  }
})
while (!(await transport.ready())) await new Promise((resolve) => setTimeout(resolve, 20))
print('reads')
process.on('SIGTERM', () => void transport.close()) // and then there is nothing left to do
