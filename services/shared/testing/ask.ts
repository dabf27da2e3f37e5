/** For tests of services: sends commands as an orchestrator does, and waits for the answers. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readReply, type CommandContract, type Reading } from 'ordersaga/contract'
import { eventChannel, type Message, type Transport } from 'ordersaga/transport'
import { afterAll } from 'vitest'

const folders: string[] = []
afterAll(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

/** One that is removed after the tests of the file that imports this. */
export function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'ordersaga-'))
  folders.push(folder)
  return folder
}

/** A file for a database in a new folder. */
export const newFile = (name: string): string => join(newFolder(), `${name}.db`)

interface Asked {
  /** The command's id; a fresh one where none is given. */
  readonly id?: string
  readonly sagaId?: string
  readonly undoes?: string
}

export interface Asker {
  /** The answer as an orchestrator reads it. */
  ask<Payload, Data>(
    command: CommandContract<Payload, Data>,
    payload: NoInfer<Payload>,
    asked?: Asked,
  ): Promise<Reading & { readonly message: Message }>
  /** Everything said on the participant's event channel so far, and on those of what was asked. */
  readonly heard: readonly Message[]
}

let count = 0

export async function asker(transport: Transport, participant: string): Promise<Asker> {
  const heard: Message[] = []
  const waiting = new Map<string, (message: Message) => void>()
  const group = `asker-${(count += 1)}`
  const channels = new Set<string>()
  const hear = async (channel: string): Promise<void> => {
    if (channels.has(channel)) return
    channels.add(channel)
    await transport.subscribe(channel, group, async (batch) => {
      for (const message of batch) {
        heard.push(message)
        waiting.get(message.causationId ?? '')?.(message)
      }
    })
  }
  await hear(eventChannel(participant))
  return {
    heard,
    async ask(command, payload, asked = {}) {
      const id = asked.id ?? `command-${(count += 1)}`
      const answer = new Promise<Message>((resolve) => waiting.set(id, resolve))
      const message: Message = {
        id,
        type: command.type,
        correlationId: asked.sagaId ?? `saga-${(count += 1)}`,
        timestamp: new Date(0).toISOString(),
        payload,
        ...(asked.undoes === undefined ? {} : { undoes: asked.undoes }),
      }
      await hear(command.eventChannel)
      await transport.publish(command.commandChannel, [message])
      const reply = await answer
      return { ...readReply(command, payload, reply), message: reply }
    },
  }
}
