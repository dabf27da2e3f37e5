/**
 * Keeps the connections of this process few enough that it never runs out of file descriptors, which its databases need too.
 *
 * Where there is no room for a new one, one that asks for nothing makes it: idle, or with a request that has not come whole,
 * the one that was used longest ago. Where each has a request in hand, the new one may ask once, and is told why it gets no
 * more.
 */
import { readFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { connectionCame } from '../turns.ts'
import { clientOf } from './client.ts'
import { HttpError } from './http-error.ts'
import type { HttpServer } from './server.ts'

export interface ConnectionLimits {
  /** Of all clients together. */
  readonly most: number
  /** Of one client, so that nobody alone can keep all others out. */
  readonly perClient: number
}

interface Connection {
  readonly socket: Socket
  readonly server: HttpServer
  readonly client: string
  /** Those that are not answered yet. */
  readonly requests: Set<IncomingMessage>
}

/** How often it is said that connections are turned away, at most. */
const warningMs = 10_000

/** One that must go may stay for so long, and so many of them at once, to hear why: it may have asked already. */
const hearingMs = 1_000
const mostHearing = 16

export class Connections {
  readonly limits: ConnectionLimits
  /** Least recently used first. */
  readonly #open = new Set<Connection>()
  readonly #perClient = new Map<string, number>()
  /** Those that are turned away, and why. */
  readonly #refused = new Map<Socket, HttpError>()
  #warned = -Infinity

  constructor(limits: ConnectionLimits) {
    this.limits = limits
  }

  /** Counts, and bounds, the connections of this server among all others. */
  watch(server: HttpServer): void {
    const bySocket = new WeakMap<Socket, Connection>()
    server.server.on('connection', (socket: Socket) => {
      connectionCame()
      const connection = {
        socket,
        server,
        client: clientOf(socket.remoteAddress),
        requests: new Set<IncomingMessage>(),
      }
      const refusal = this.#makeRoom(connection)
      if (refusal !== null) {
        this.#warn(server, refusal.message)
        return this.#refuse(connection, refusal)
      }
      bySocket.set(socket, connection)
      this.#add(connection)
    })
    server.addHook('onRequest', async ({ socket }, reply) => {
      const refusal = this.#refused.get(socket)
      if (refusal === undefined) return
      void reply.header('connection', 'close')
      throw refusal
    })
    server.server.on('request', (request, response) => {
      const connection = bySocket.get(request.socket)
      if (connection === undefined) return
      connection.requests.add(request)
      this.#used(connection)
      response.on('close', () => {
        connection.requests.delete(request)
        this.#used(connection)
      })
    })
  }

  /** Whether any is open. */
  has(server: HttpServer): boolean {
    for (const connection of this.#open) if (connection.server === server) return true
    return false
  }

  /** Ends those that wait for no answer. */
  endIdle(server: HttpServer): void {
    for (const connection of this.#open)
      if (connection.server === server && connection.requests.size === 0) connection.socket.destroy()
  }

  #add(connection: Connection): void {
    const { client, socket } = connection
    this.#open.add(connection)
    this.#perClient.set(client, this.#of(client) + 1)
    socket.on('close', () => {
      if (this.#open.delete(connection)) this.#forget(client)
    })
  }

  #forget(client: string): void {
    const left = this.#of(client) - 1
    if (left > 0) this.#perClient.set(client, left)
    else this.#perClient.delete(client)
  }

  #of(client: string): number {
    return this.#perClient.get(client) ?? 0
  }

  #used(connection: Connection): void {
    if (this.#open.delete(connection)) this.#open.add(connection)
  }

  /** Answers what comes over it with why there is no room, and ends it. */
  #refuse({ socket }: Connection, refusal: HttpError): void {
    const [oldest] = this.#refused.keys()
    if (oldest !== undefined && this.#refused.size >= mostHearing) {
      oldest.destroy()
      this.#refused.delete(oldest)
    }
    this.#refused.set(socket, refusal)
    socket.on('close', () => this.#refused.delete(socket))
    setTimeout(() => socket.destroy(), hearingMs).unref()
  }

  #warn(server: HttpServer, why: string): void {
    const now = performance.now()
    if (now - this.#warned < warningMs) return
    this.#warned = now
    server.log.warn(`${why}, each with a request in hand: further ones are turned away`)
  }

  /** Null where there is room, or some could be made. */
  #makeRoom({ client }: Connection): HttpError | null {
    const { most, perClient } = this.limits
    const ofClient = new HttpError(429, `${perClient} connections are open from ${client}, the most for one client`, 1)
    if (this.#of(client) >= perClient && !this.#evict((one) => one.client === client, ofClient)) return ofClient
    const ofAll = new HttpError(503, `${most} connections are open, the most for this process`, 1)
    if (this.#open.size >= most && !this.#evict(() => true, ofAll)) return ofAll
    return null
  }

  #evict(may: (connection: Connection) => boolean, refusal: HttpError): boolean {
    const candidates = [...this.#open].filter(may)
    const evicted = candidates.find(isIdle) ?? candidates.find(isHalfSent)
    if (evicted === undefined) return false
    this.#open.delete(evicted)
    this.#forget(evicted.client)
    if (isIdle(evicted)) this.#refuse(evicted, refusal)
    else evicted.socket.destroy()
    return true
  }
}

const isIdle = ({ requests }: Connection): boolean => requests.size === 0
const isHalfSent = ({ requests }: Connection): boolean => [...requests].every(({ complete }) => !complete)

/** All servers of a process share its file descriptors: made when the first one starts. */
let ofProcess: Connections | null = null

export function connectionsOfProcess(): Connections {
  ofProcess ??= new Connections(limitsFor(fileDescriptors()))
  return ofProcess
}

/** The rest is for databases, files and the requests that we make ourselves. */
export function limitsFor(descriptors: number): ConnectionLimits {
  const most = Math.min(8_192, Math.max(32, Math.floor(descriptors * 0.6)))
  return { most, perClient: Math.floor(most / 2) }
}

/** As many as any system gives; Linux says how many it really gives. */
const usualDescriptors = 1_024

function fileDescriptors(): number {
  try {
    const [, soft] = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? []
    return Number(soft ?? usualDescriptors)
  } catch {
    return usualDescriptors
  }
}
