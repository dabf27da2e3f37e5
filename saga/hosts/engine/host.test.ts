/** The durable engine as a host. */
import type { Command } from '../../core/pending.ts'
import { memoryStore } from '../../stores/memory/memory-store.ts'
import { memoryTransport } from '../../transports/memory/memory-transport.ts'
import type { Message } from '../../transports/transport.ts'
import { hostContract, type Says } from '../host.contract.ts'
import { startEngine } from './engine.ts'
import { turns } from './engine.testkit.ts'
import { handClock } from './shop.testkit.ts'

hostContract('durable engine', async (definitions, says) => {
  const clock = handClock()
  const transport = memoryTransport({ clock })
  await transport.subscribe('shop_commands', 'shop', async (batch) => {
    const answers = batch.flatMap((message) => answerTo(message, says) ?? [])
    if (answers.length > 0) await transport.publish('shop_events', answers)
  })
  const engine = await startEngine({ store: memoryStore(clock.now), transport, definitions, clock })
  return {
    host: engine,
    async pass(ms) {
      await turns()
      clock.advance(ms)
      await turns()
    },
    answer: (command, type, payload) =>
      transport.publish('shop_events', [reply(command.id, command.sagaId, type, payload)]),
    async close() {
      await engine.stop()
      await transport.close()
    },
  }
})

const reply = (causationId: string, correlationId: string, type: string, payload: unknown): Message => ({
  id: `${causationId}:${type}`,
  type,
  correlationId,
  causationId,
  timestamp: '',
  payload,
})

function answerTo(message: Message, says: Says): Message | null {
  const { id, type, payload, correlationId, undoes = null } = message
  const [, step = '', direction = 'do'] = id.split(':')
  const command: Command = {
    id,
    sagaId: correlationId,
    step,
    direction: direction.replace(/\d+$/, '') as Command['direction'],
    attempt: 1,
    participant: 'shop',
    channel: 'shop_commands',
    type,
    payload,
    unanswered: type === 'mail',
    undoes,
  }
  const answer = says(command)
  return answer === null || type === 'mail' ? null : reply(id, correlationId, answer.type, answer.payload)
}
