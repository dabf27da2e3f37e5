/** Where messages are posted: the configured peers of channels, and the addresses that late replies may go to. */
import { isCommandChannel, replyChannel } from '../transport.ts'

export type PeerHeaders = Readonly<Record<string, string>>

/** A peer that is called otherwise than by the convention. */
export interface HttpPeer {
  /** What its messages are posted to, as it is: `https://shop.example/api/commands?tenant=7`. */
  readonly url: string
  /** Sent with each of them, such as a token; a function is asked before each request. The transport's own go before them. */
  readonly headers?: PeerHeaders | (() => PeerHeaders | Promise<PeerHeaders>)
}

/** By channel, where its messages are posted; each of several services that read it gets all of them. */
export type HttpPeers = Readonly<Record<string, string | HttpPeer | readonly (string | HttpPeer)[]>>

const listOf = (given: HttpPeers[string]): readonly (string | HttpPeer)[] =>
  Array.isArray(given) ? (given as readonly (string | HttpPeer)[]) : [given as string | HttpPeer]

export class AddressBook {
  /** By channel: several services may read one. */
  readonly #peers: ReadonlyMap<string, readonly HttpPeer[]>
  /** By address, and by origin: of several at one, the first. */
  readonly #at = new Map<string, HttpPeer>()
  /** The base URL of this process. */
  readonly #self: string | null
  readonly #repliesAnywhereHere: boolean
  /** By channel of commands, where that is not called by the convention. */
  readonly #replies: ReadonlyMap<string, string>

  /** @throws Error where an address is none */
  constructor(peers: HttpPeers, self: string | undefined, replies: Readonly<Record<string, string>>) {
    this.#replies = new Map(Object.entries(replies))
    this.#peers = new Map(
      Object.entries(peers).map(([channel, given]) => [channel, listOf(given).map((peer) => peerOf(channel, peer))]),
    )
    for (const peer of [...this.#peers.values()].flat()) {
      for (const place of [peer.url, new URL(peer.url).origin]) if (!this.#at.has(place)) this.#at.set(place, peer)
    }
    this.#self = self === undefined ? null : baseUrl(self)
    this.#repliesAnywhereHere = this.#self !== null && isLoopback(new URL(this.#self))
  }

  /** Where a channel's messages go: each to all of them. */
  of(channel: string): readonly string[] {
    return this.#peers.get(channel)?.map(({ url }) => url) ?? []
  }

  /** The channel in which what is sent to a channel is answered; null where that holds no commands. */
  replyChannel(channel: string): string | null {
    return this.#replies.get(channel) ?? (isCommandChannel(channel) ? replyChannel(channel) : null)
  }

  /** Where the late replies to a channel's commands are to come; null where they have no way, or where none come. */
  replyTo(channel: string): string | null {
    const replies = this.replyChannel(channel)
    return this.#self === null || replies === null ? null : messagesUrl(this.#self, replies)
  }

  /**
   * Which addresses replies may be sent to: those at the origin of a peer, and while this process is itself reached by
   * loopback, any port of this machine.
   */
  mayReplyTo(address: string): boolean {
    if (!URL.canParse(address)) return false
    const url = new URL(address)
    return (
      this.#peerAt(address) !== undefined || (this.#repliesAnywhereHere && url.protocol === 'http:' && isLoopback(url))
    )
  }

  /** What the peer at an address wants to be sent along. A late reply goes to its origin, and to no other, with the same. */
  async headersFor(address: string): Promise<PeerHeaders> {
    const headers = this.#peerAt(address)?.headers
    const given = typeof headers === 'function' ? await headers() : headers
    return Object.fromEntries(Object.entries(given ?? {}).map(([name, value]) => [name.toLowerCase(), value]))
  }

  #peerAt(address: string): HttpPeer | undefined {
    return this.#at.get(address) ?? this.#at.get(new URL(address).origin)
  }
}

/** @throws Error */
function peerOf(channel: string, peer: unknown): HttpPeer {
  if (typeof peer === 'string') return { url: messagesUrl(baseUrl(peer), channel) }
  const { url, headers, ...more } = (peer ?? {}) as Partial<HttpPeer>
  if (typeof url !== 'string' || !isHttp(url) || new URL(url).hash !== '') {
    throw new Error(`the peer of ${channel} needs a url such as https://orders:3002/commands`)
  }
  const [unknown] = Object.keys(more)
  if (unknown !== undefined) throw new TypeError(`the peer of ${channel} has no option ${unknown}: it has url, headers`)
  if (headers !== undefined && typeof headers !== 'object' && typeof headers !== 'function') {
    throw new TypeError(`the headers of the peer of ${channel} must be an object, or a function that gives one`)
  }
  return { url, ...(headers === undefined ? {} : { headers }) }
}

const messagesUrl = (base: string, channel: string): string => `${base}/messages/${encodeURIComponent(channel)}`

/** @throws Error where it is no base URL */
function baseUrl(text: string): string {
  const url = isHttp(text) ? new URL(text) : null
  if (url === null || url.search !== '' || url.hash !== '') {
    throw new Error(`${text} is not a base URL such as http://orders:3002`)
  }
  return text.replace(/\/+$/, '')
}

const isHttp = (text: string): boolean => URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)

const isLoopback = (url: URL): boolean => /^(localhost|127(\.\d+){3}|\[::1\])$/.test(url.hostname)
