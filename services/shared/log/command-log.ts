/** A line for each command that a service obeyed or refused, once that is durable. */
import type { Inbox } from 'ordersaga/inbox'
import type { Answer, Handled, ReceivedCommand } from 'ordersaga/participant'
import type { Logger } from 'pino'

interface Obeyed<Tx> {
  readonly inbox: Inbox<Tx>
  readonly handlers: readonly Handled<Tx>[]
}

/** The same inbox and handlers, which tell the log. A repeat is answered from the store, and is no line of its own. */
export function logCommands<Tx extends object>(log: Logger, { inbox, handlers }: Obeyed<Tx>): Obeyed<Tx> {
  /** What was answered in a transaction that is not committed yet. */
  const open = new WeakMap<Tx, object[]>()
  return {
    handlers: handlers.map((handled) => ({
      ...handled,
      async applyAll(tx, commands, prepared) {
        const answers = await handled.applyAll(tx, commands, prepared)
        if (log.isLevelEnabled('info'))
          open
            .get(tx)
            ?.push(...commands.map((command, index) => lineOf(handled.contract.type, command, answers[index])))
        return answers
      },
    })),
    inbox: {
      ...inbox,
      async transaction(work) {
        const lines: object[] = []
        const result = await inbox.transaction((tx) => {
          // Tried again by the database, it begins anew.
          lines.length = 0
          open.set(tx, lines)
          return work(tx)
        })
        for (const line of lines) log.info(line, 'command')
        return result
      },
    },
  }
}

function lineOf(type: string, { id, sagaId }: ReceivedCommand<unknown>, answer: Answer<unknown> | undefined): object {
  return {
    command: type,
    sagaId,
    traceId: sagaId.replaceAll('-', ''),
    messageId: id,
    outcome: answer?.kind,
    ...(answer?.kind === 'rejected' ? { reason: answer.reason } : {}),
  }
}
