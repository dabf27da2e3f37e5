import type { Command } from '../core/pending.ts'
import type { Message } from '../transports/transport.ts'

/** A command as a transport takes it. @param timestamp ISO 8601, UTC */
export const messageOf = (command: Command, timestamp: string): Message => ({
  id: command.id,
  type: command.type,
  correlationId: command.sagaId,
  timestamp,
  payload: command.payload,
  ...(command.undoes === null ? {} : { undoes: command.undoes }),
})
