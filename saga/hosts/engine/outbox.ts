/**
 * Sends commands, after they are committed. One send in flight per channel; what gathers meanwhile is the next batch.
 *
 * Nothing here is kept for a crash: a saga's state says what is outstanding, and it is sent again under the same ids.
 * Repeats (attempt 2 and later) draw on a budget per participant, so that an outage is not met with a storm; a repeat
 * over the budget waits its turn.
 */
import type { Command } from '../../core/pending.ts'
import type { Message, Transport } from '../../transports/transport.ts'
import { commandChannel } from '../../transports/transport.ts'
import type { Clock } from './clock.ts'

export interface OutboxOptions {
  readonly transport: Transport
  readonly clock: Clock
  /** Repeats per second and participant. */
  readonly repeatsPerSecond: number
  readonly onProblem: (what: string, cause: unknown) => void
}

interface Lane {
  waiting: Message[]
  sending: Promise<void> | null
  /** Repeats that wait for the budget. */
  readonly delayed: Message[]
  tokens: number
  refilledAt: number
  timer: { cancel(): void } | null
}

export class Outbox {
  readonly #options: OutboxOptions
  readonly #lanes = new Map<string, Lane>()

  constructor(options: OutboxOptions) {
    this.#options = options
  }

  send(commands: readonly Command[]): void {
    const timestamp = new Date(this.#options.clock.now()).toISOString()
    for (const command of commands) {
      const channel = commandChannel(command.participant)
      const lane = this.#lane(channel)
      const message = toMessage(command, timestamp)
      if (command.attempt > 1) lane.delayed.push(message)
      else lane.waiting.push(message)
    }
    for (const [channel, lane] of this.#lanes) this.#pump(channel, lane)
  }

  /** Resolves when what was handed over has been sent (or has failed). */
  async flush(): Promise<void> {
    for (const lane of this.#lanes.values()) {
      lane.timer?.cancel()
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
      refilledAt: clock.now(),
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
    lane.sending = this.#options.transport
      .publish(channel, batch)
      .catch((error: unknown) => {
        // Not lost: each command is outstanding in its saga's state and is repeated when its attempt's time is up.
        this.#options.onProblem(
          `${batch.length} commands could not be handed to ${channel}; their sagas will repeat them`,
          error,
        )
      })
      .then(() => {
        lane.sending = null
        this.#pump(channel, lane)
      })
  }

  /** Moves repeats that the budget allows to the next batch, and comes back for the rest. */
  #spend(channel: string, lane: Lane): void {
    if (lane.delayed.length === 0) return
    const { clock, repeatsPerSecond } = this.#options
    const now = clock.now()
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

const toMessage = (command: Command, timestamp: string): Message => ({
  id: command.id,
  type: command.type,
  correlationId: command.sagaId,
  timestamp,
  payload: command.payload,
  ...(command.undoes === null ? {} : { undoes: command.undoes }),
})
