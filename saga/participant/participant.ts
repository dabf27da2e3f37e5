/**
 * The participant kit: a service declares handlers for the commands of its contract and serves them over any transport.
 *
 * Invariants:
 * - the reply is stored in the same transaction as the effect, under the command's id; a repeat is answered from the
 *   store and does nothing;
 * - an undo that overtakes its command leaves a tombstone, and the late command is refused;
 * - the command is acknowledged only after its reply is published, so no outbox is needed;
 * - a handler that throws has an unknown outcome: nothing is stored, the message is delivered again, and the rest of its
 *   batch goes on; where it throws that something is unavailable, no command is to blame, and all of them wait;
 * - commands of one saga are obeyed in the order in which they came;
 * - a command whose `prepare` is slow holds up no other saga's.
 */
import {
  commandChannel,
  isUnavailable,
  RefusedError,
  UnavailableError,
  type FailedMessage,
  type Message,
  type Subscription,
  type Transport,
} from '../transports/transport.ts'
import { answerAll, findReplies } from './answering.ts'
import { rounds } from './batches.ts'
import { readOptions, type ParticipantOptions, type Settings } from './options.ts'
import { prepareInWaves } from './preparing.ts'
import { Reading } from './reading.ts'
import { replyId, replyTo, type Sender } from './replying.ts'
import { Slots } from './slots.ts'
import { ParticipantError, type Fail, type PreparedWork, type Work } from './work.ts'

export {
  done,
  handle,
  handleAll,
  rejected,
  type Answer,
  type BatchHandler,
  type Handled,
  type Handler,
  type ReceivedCommand,
} from './handle.ts'
export type { ParticipantOptions } from './options.ts'
export type { KitRefusal, Refuse } from './refusing.ts'
export { ParticipantError } from './work.ts'

export interface Participant {
  /** Starts obeying the commands that come over the transport. */
  attach(transport: Transport): Promise<Subscription>
  /**
   * Obeys a command that came by another way than a transport, such as a route of the service, and gives its answer; null where
   * its contract has none, or no handler is for it. Like any other it is obeyed once: a repeat of its id is answered from the
   * store.
   *
   * @param channel the contract's; `<name>_commands` where none is given
   * @throws UnavailableError where the database does not answer
   * @throws Error where its handler throws: its outcome is unknown
   */
  obey(command: Message, channel?: string): Promise<Message | null>
}

/**
 * Serves the commands of one participant.
 *
 * @throws TypeError where an option is wrong
 * @throws Error where two handlers serve one command, or a handler's contract belongs to another participant
 */
export function participant<Tx>(options: ParticipantOptions<Tx>): Participant {
  const settings = readOptions(options)
  const { name, group, handlers } = settings
  const reading = new Reading(settings)
  const channels = new Set(handlers.map(({ contract }) => contract.commandChannel))
  if (channels.size === 0) channels.add(commandChannel(name))
  const handed = new Slots(settings.concurrency)
  return {
    async obey(command, channel = commandChannel(name)) {
      const replies: Message[] = []
      const publish: Transport['publish'] = async (_channel, messages) => void replies.push(...messages)
      const [failed] = await new Serving(settings, reading, publish, handed).serve(channel, [command])
      if (failed !== undefined) throw new Error(`${command.type} could not be handled: ${failed.reason}`)
      return replies[0] ?? null
    },
    async attach(transport) {
      checkTransport(transport)
      const publish: Transport['publish'] = (channel, messages) => transport.publish(channel, messages)
      const serving = new Serving(settings, reading, publish, new Slots(settings.concurrency))
      const subscriptions: Subscription[] = []
      const close = async (): Promise<void> => {
        await Promise.all(subscriptions.map((subscription) => subscription.close()))
      }
      try {
        for (const channel of channels)
          for (let lane = 0; lane < lanesOf(channel, settings); lane++)
            subscriptions.push(await transport.subscribe(channel, group, (batch) => serving.serve(channel, batch)))
        return { close }
      } catch (error) {
        await close()
        throw error
      }
    },
  }
}

/** A batch that waits for slow `prepare`s holds up its own lane. Without them one is best: the larger the batches, the fewer commits. */
function lanesOf<Tx>(channel: string, { handlers, concurrency }: Settings<Tx>): number {
  const waits = handlers.some(({ contract, prepare }) => contract.commandChannel === channel && prepare !== null)
  return waits ? Math.min(concurrency, mostLanes) : 1
}

const mostLanes = 32

function checkTransport(transport: unknown): void {
  const { subscribe, publish } = Object(transport) as Partial<Transport>
  if (typeof subscribe === 'function' && typeof publish === 'function') return
  throw new TypeError('attach takes a transport, such as memoryTransport() or kafkaTransport(...)')
}

/** Obeys what comes, and publishes what it says to that. */
class Serving<Tx> {
  readonly #settings: Settings<Tx>
  readonly #reading: Reading<Tx>
  readonly #deliver: Transport['publish']
  readonly #sender: Sender
  readonly #slots: Slots

  constructor(settings: Settings<Tx>, reading: Reading<Tx>, deliver: Transport['publish'], slots: Slots) {
    const { source, refuse, clock } = settings
    this.#slots = slots
    this.#settings = settings
    this.#reading = reading
    this.#deliver = deliver
    this.#sender = { source, refuse, now: () => clock.now() }
  }

  async serve(channel: string, batch: readonly Message[]): Promise<readonly FailedMessage[]> {
    const failed: FailedMessage[] = []
    const fail: Fail = (message, cause) => {
      const forGood = cause instanceof ParticipantError || cause instanceof RefusedError
      this.#settings.onProblem({
        what: forGood
          ? `${message.type} cannot be handled: mend its cause, and then what the dead letters have of it`
          : `${message.type} could not be handled; it is delivered again`,
        needsPerson: forGood,
        sagaId: message.correlationId,
        messageId: message.id,
        cause,
      })
      failed.push({ messageId: message.id, reason: cause instanceof Error ? cause.message : String(cause) })
    }
    const { inbox, clock } = this.#settings
    const find = (works: readonly Work<Tx>[]) => this.#transaction((tx) => findReplies(inbox, tx, works))
    for (const round of rounds(this.#reading.read(channel, batch, fail)))
      for await (const wave of prepareInWaves(round, { find, slots: this.#slots, clock, fail }))
        await this.#publish(await this.#obey(wave, fail), wave, fail)
    return failed
  }

  /** Answers everything in one transaction; where that fails, each command in one of its own. */
  async #obey(works: readonly PreparedWork<Tx>[], fail: Fail): Promise<readonly Reply[]> {
    try {
      return await this.#answer(works)
    } catch (error) {
      if (isUnavailable(error)) throw error
      // A handler threw, or another process obeyed one of the commands first: alone, the others succeed and the loser
      // finds the winner's reply.
      return this.#oneByOne(works, fail)
    }
  }

  async #oneByOne(works: readonly PreparedWork<Tx>[], fail: Fail): Promise<readonly Reply[]> {
    const replies: Reply[] = []
    for (const work of works) {
      try {
        replies.push(...(await this.#answer([work])))
      } catch (error) {
        if (isUnavailable(error)) throw error // to wait for it once per command would take for ever
        fail(work.message, error)
      }
    }
    return replies
  }

  #answer(works: readonly PreparedWork<Tx>[]): Promise<readonly Reply[]> {
    const { inbox, refuse } = this.#settings
    return this.#transaction(async (tx) => {
      const stored = await answerAll(inbox, refuse, tx, works)
      return works.flatMap((work) => {
        const message = replyTo(this.#sender, work, stored)
        return message === null ? [] : [{ channel: work.handled.contract.eventChannel, message }]
      })
    })
  }

  /** @throws UnavailableError where no transaction can be begun: the database is away, and no command is to blame */
  async #transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    let begun = false
    try {
      return await this.#settings.inbox.transaction((tx) => {
        begun = true
        return work(tx)
      })
    } catch (cause) {
      if (begun) throw cause
      throw new UnavailableError(`the database of ${this.#settings.name} does not answer`, { cause })
    }
  }

  /**
   * Where the replies cannot be published now, their commands come again and are answered from what is stored. Where some
   * never can be, the commands of these fail, so that no other waits with them.
   */
  async #publish(replies: readonly Reply[], round: readonly Work<Tx>[], fail: Fail): Promise<void> {
    const byChannel = new Map<string, Message[]>()
    for (const { channel, message } of replies) {
      const messages = byChannel.get(channel)
      if (messages === undefined) byChannel.set(channel, [message])
      else messages.push(message)
    }
    for (const [channel, messages] of byChannel) {
      try {
        await this.#deliver(channel, messages)
      } catch (cause) {
        if (!(cause instanceof RefusedError)) {
          throw new UnavailableError(`the replies of ${this.#settings.name} could not be published`, { cause })
        }
        const refused = new Set(cause.messageIds)
        for (const { message } of round) if (refused.has(replyId(message))) fail(message, cause)
      }
    }
  }
}

interface Reply {
  readonly channel: string
  readonly message: Message
}
