/** What every service is, seen from outside: opened from checked options, begun once its readers are there, closed in order. */
import type { CallerOptions } from './auth/caller.ts'
import type { DatabaseTarget } from './database/database.ts'
import type { Callers } from './http/callers.ts'
import type { MessageReceiver } from './http/messages.ts'
import type { Logger } from 'pino'
import type { Transport } from 'ordersaga/transport'

export interface ServerOptions {
  /** Where the service listens; port 0 takes a free one. */
  readonly host: string
  readonly port: number
  /** What browsers may call it, and for which pages, besides those that are always ours. */
  readonly callers?: Callers
  readonly log: Logger
}

export interface ServiceOptions extends ServerOptions {
  readonly database: DatabaseTarget
  readonly transport: Transport
  /** Mounted under `POST /messages/:channel`, where messages come by HTTP. */
  readonly receiver?: MessageReceiver
  /** How it finds out who asks a route that is not for everybody; where none is given, nobody is asked for a token. */
  readonly access?: CallerOptions
  /** Answers to commands are kept this long for repeats, in milliseconds; for ever where none is given. */
  readonly retainMs?: number
  /** Unix milliseconds; tests drive it. */
  readonly now: () => number
}

/** Listens, and obeys what it is sent. By itself it says and does nothing yet. */
export interface OpenService {
  readonly name: string
  /** `http://host:port`, with the port really taken. */
  readonly url: string
  /**
   * Starts what the service does by itself: telling of what came due or was left to be told, ending what is overdue. For
   * once everybody whom that concerns has subscribed, since a transport in memory keeps nothing of an earlier process.
   */
  begin(): void
  /** Stops taking work, finishes what is in hand, closes everything it opened (not the transport, which it was given). */
  close(): Promise<void>
}
