/**
 * Sends commands, after they are committed. One send in flight per channel; what gathers meanwhile is the next batch.
 *
 * Nothing here is kept for a crash: a saga's state says what is outstanding, and it is sent again under the same ids.
 * Repeats (attempt 2 and later) draw on a budget per participant, so that an outage is not met with a storm; a repeat
 * over the budget waits its turn.
 *
 * A command that cannot be sent as it is keeps no other back. It is told once, and comes again only with its next attempt.
 */
import type { Command } from '../../core/pending.ts'
import type { Message, Transport } from '../../transports/transport.ts'
import { RefusedError } from '../../transports/transport.ts'
import type { Clock } from '../../clock.ts'
import type { OnProblem } from '../../problem.ts'
import { messageOf } from '../message.ts'

export interface DispatcherOptions {
  readonly transport: Transport
  readonly clock: Clock
  /** Repeats per second and participant. */
  readonly repeatsPerSecond: number
  readonly onProblem: OnProblem
  /** The transport has taken these commands, which nobody need answer. */
  readonly onSent: (commands: readonly Command[]) => void
}

/** What waits for one channel. */
interface Lane {
  waiting: Command[]
  sending: Promise<void> | null
  /** Repeats that wait for the budget. */
  readonly delayed: Command[]
  tokens: number
  refilledAt: number
  timer: { cancel(): void } | null
}

/** Refused commands that are remembered as told. */
const mostTold = 10_000

/** Ids that a report spells out. */
const mostNamed = 5

interface Refusal {
  readonly id: string
  readonly error: unknown
}

export class Dispatcher {
  readonly #options: DispatcherOptions
  readonly #told = new Set<string>()
  readonly #lanes = new Map<string, Lane>()

  constructor(options: DispatcherOptions) {
    this.#options = options
  }

  send(commands: readonly Command[]): void {
    for (const command of commands) {
      const lane = this.#lane(command.channel)
      if (command.attempt > 1) lane.delayed.push(command)
      else lane.waiting.push(command)
    }
    for (const [channel, lane] of this.#lanes) this.#pump(channel, lane)
  }

  /** Resolves when what was handed over has been sent (or has failed); repeats over the budget are left to the next owner. */
  async flush(): Promise<void> {
    for (const lane of this.#lanes.values()) {
      lane.timer?.cancel()
      lane.delayed.length = 0
      while (lane.sending !== null) await lane.sending
    }
  }

  #lane(channel: string): Lane {
    const known = this.#lanes.get(channel)
    if (known !== undefined) return known
    const { repeatsPerSecond, clock } = this.#options
    const lane: Lane = {
      waiting: [],
      sending: null,
      delayed: [],
      tokens: repeatsPerSecond,
      refilledAt: clock.elapsed(),
      timer: null,
    }
    this.#lanes.set(channel, lane)
    return lane
  }

  #pump(channel: string, lane: Lane): void {
    this.#spend(channel, lane)
    if (lane.sending !== null || lane.waiting.length === 0) return
    const batch = lane.waiting
    lane.waiting = []
    lane.sending = this.#deliver(channel, batch).then(() => {
      lane.sending = null
      this.#pump(channel, lane)
    })
  }

  async #deliver(channel: string, batch: readonly Command[]): Promise<void> {
    const timestamp = new Date(this.#options.clock.now()).toISOString()
    const messages = batch.map((command) => messageOf(command, timestamp))
    try {
      const refused = await this.#publish(channel, messages)
      this.#tell(channel, refused)
      const unsent = new Set(refused.map(({ id }) => id))
      const sent = batch.filter(({ unanswered, id }) => unanswered && !unsent.has(id))
      if (sent.length > 0) this.#options.onSent(sent)
    } catch (cause) {
      // Not lost: each command is outstanding in its saga's state and is repeated when its attempt's time is up.
      const what = `${batch.length} commands could not all be handed to ${channel}; their sagas will repeat them`
      this.#options.onProblem({ what, needsPerson: false, cause })
    }
  }

  /**
   * Returns what the transport will not take. Where it does not say which, the batch is halved until they stand alone; not
   * in an outage, since each half would wait for its end as well.
   */
  async #publish(channel: string, batch: readonly Message[]): Promise<readonly Refusal[]> {
    try {
      await this.#options.transport.publish(channel, batch)
      return []
    } catch (error) {
      if (error instanceof RefusedError) return error.messageIds.map((id) => ({ id, error }))
      if (isOutage(error)) throw error
      if (batch.length === 1) return batch.map(({ id }) => ({ id, error }))
      const half = batch.length >> 1
      const refused = await this.#publish(channel, batch.slice(0, half))
      return [...refused, ...(await this.#publish(channel, batch.slice(half)))]
    }
  }

  /** Each command once, those that are refused for the same reason together. */
  #tell(channel: string, refused: readonly Refusal[]): void {
    const reasons = new Map<string, { readonly cause: unknown; readonly ids: string[] }>()
    for (const { id, error } of refused) {
      if (this.#told.has(id)) continue
      this.#told.add(id)
      if (this.#told.size > mostTold) this.#told.delete(this.#told.keys().next().value as string)
      const known = reasons.get(String(error)) ?? { cause: error, ids: [] }
      known.ids.push(id)
      reasons.set(String(error), known)
    }
    for (const { cause, ids } of reasons.values())
      this.#options.onProblem({
        what: `the transport refuses ${listOf(ids)} on ${channel}: change the payload that the step gives, or what the transport takes`,
        needsPerson: true,
        cause,
      })
  }

  /** Moves repeats that the budget allows to the next batch, and comes back for the rest. */
  #spend(channel: string, lane: Lane): void {
    if (lane.delayed.length === 0) return
    const { clock, repeatsPerSecond } = this.#options
    const now = clock.elapsed()
    lane.tokens = Math.min(repeatsPerSecond, lane.tokens + ((now - lane.refilledAt) / 1000) * repeatsPerSecond)
    lane.refilledAt = now
    const allowed = lane.delayed.splice(0, Math.floor(lane.tokens))
    lane.tokens -= allowed.length
    lane.waiting.push(...allowed)
    if (lane.delayed.length === 0 || lane.timer !== null) return
    lane.timer = clock.after(Math.ceil(1000 / repeatsPerSecond), () => {
      lane.timer = null
      this.#pump(channel, lane)
    })
  }
}

/** Transports say by a code what time may mend; what they stumble over has none, or one of Node's for a wrong argument. */
const isOutage = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' && !error.code.startsWith('ERR_')

const listOf = (ids: readonly string[]): string =>
  ids.slice(0, mostNamed).join(', ') + (ids.length > mostNamed ? ` and ${ids.length - mostNamed} more` : '')
