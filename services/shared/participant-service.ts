/**
 * What the services that obey commands have in common: a database, an HTTP server, a participant, and their order of
 * starting and stopping.
 *
 * Invariants:
 * - commands are taken only once the database is migrated and the port is bound: a service that cannot start takes none;
 * - nothing is said unasked before the service is begun;
 * - on stopping, requests and the batch in hand are finished before the database closes.
 */
import type { Migration, Transaction } from 'kysely'
import { systemClock } from 'ordersaga/clock'
import type { Inbox } from 'ordersaga/inbox'
import { participant, type Handled, type Participant, type Refuse } from 'ordersaga/participant'
import type { Subscription } from 'ordersaga/transport'
import { openDatabase, type Database } from './database/database.ts'
import { kyselyInbox, type InboxTables } from './database/inbox.ts'
import { startRetention } from './database/retention.ts'
import { listen } from './http/listen.ts'
import { mountMessages } from './http/messages.ts'
import type { ErrorShape } from './http/error-shapes.ts'
import { createHttpServer, type HttpServer } from './http/server.ts'
import { logCommands } from './log/command-log.ts'
import { logProblems } from './log/problems.ts'
import type { OpenService, ServiceOptions } from './service.ts'

interface ParticipantService<S extends InboxTables> {
  /** The contract's name, such as `order`; the service is called `order-service`. */
  readonly participant: string
  readonly title: string
  readonly description: string
  readonly migrations: Record<string, Migration>
  readonly errors: ErrorShape
  /** Called once, with the database open. */
  readonly parts: (database: Database<S>) => ParticipantParts<S>
}

interface ParticipantParts<S> {
  readonly handlers: readonly Handled<Transaction<S>>[]
  /** Of commands that come by routes alone. */
  readonly requests?: readonly Handled<Transaction<S>>[]
  /** @param obey obeys a command that a route takes, one of the handlers' or of the requests */
  readonly routes: (server: HttpServer, obey: Participant['obey']) => void
  /** The words of what the kit refuses by itself; the kit's own where none is given. */
  readonly refuse?: Refuse
  /** How many commands may be prepared at once; the kit's own number where none is given. */
  readonly concurrency?: number
  /** Called after each transaction that handled commands, once it is committed. */
  readonly onCommitted?: () => void
  /** Starts what the parts do unasked. */
  readonly begin?: () => void
  /** Stops that, also where it was never begun. */
  readonly stop?: () => Promise<void>
}

/** Of the routes and messages, as the API page shows it. */
const apiVersion = '1.0.0'

export async function openParticipantService<S extends InboxTables>(
  options: ServiceOptions,
  service: ParticipantService<S>,
): Promise<OpenService> {
  const { log, transport } = options
  const name = `${service.participant}-service`
  const opened: (() => Promise<void>)[] = []
  const close = async (): Promise<void> => {
    for (const one of opened.splice(0).reverse()) await one()
  }
  try {
    const database = await openDatabase<S>(options.database, service.migrations)
    opened.push(() => database.close())
    const {
      handlers,
      requests = [],
      routes,
      refuse,
      concurrency,
      onCommitted,
      begin = () => undefined,
      stop,
    } = service.parts(database)
    if (stop !== undefined) opened.push(stop)

    const inbox = kyselyInbox(database, { now: options.now, onProblem: logProblems(log) })
    if (options.retainMs !== undefined)
      opened.push(
        startRetention({
          inbox,
          retainMs: options.retainMs,
          onProblem: (err) => log.warn({ err }, 'old replies could not be removed; tried again in an hour'),
        }),
      )

    const server = await createHttpServer({
      title: service.title,
      description: service.description,
      version: apiVersion,
      log,
      errors: service.errors,
      ...(options.callers === undefined ? {} : { callers: options.callers }),
      ...(options.access === undefined ? {} : { access: options.access }),
      ready: async () => ({ database: await database.ready(), transport: await transport.ready() }),
    })
    // Closed after the server: requests that are answered by the participant are in its hand.
    let subscription: Subscription | null = null
    opened.push(async () => subscription?.close())
    opened.push(() => server.close())
    const settings = {
      name: service.participant,
      source: name,
      ...(refuse === undefined ? {} : { refuse }),
      ...(concurrency === undefined ? {} : { concurrency }),
      clock: { ...systemClock, now: options.now },
      onProblem: logProblems(log),
    }
    const known = onCommitted === undefined ? inbox : watched(inbox, onCommitted)
    const ofRoutes = participant({
      ...settings,
      ...logCommands(log, { inbox: known, handlers: [...handlers, ...requests] }),
    })
    routes(server, (command, channel) => ofRoutes.obey(command, channel))
    if (options.receiver !== undefined) mountMessages(server, options.receiver)
    const url = await listen(
      server,
      options.host,
      options.port,
      `${service.participant.toUpperCase().replaceAll('-', '_')}_PORT`,
    )

    subscription = await participant({ ...settings, ...logCommands(log, { inbox: known, handlers }) }).attach(transport)
    log.info({ url }, 'ready: commands and requests are taken')
    return { name, url, begin, close }
  } catch (error) {
    await close()
    throw error
  }
}

function watched<Tx>(inbox: Inbox<Tx>, onCommitted: () => void): Inbox<Tx> {
  return {
    ...inbox,
    async transaction(work) {
      const result = await inbox.transaction(work)
      onCommitted()
      return result
    },
  }
}
