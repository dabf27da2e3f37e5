/** Tells of channels that messages were published to and that nobody reads: each once, and only where nobody comes soon. */
import type { Clock } from '../clock.ts'
import type { OnProblem } from '../problem.ts'
import { isCommandChannel } from './transport.ts'

/** Readers that start together with the first publisher come within this time. */
const patienceMs = 5_000

export class UnreadChannels {
  readonly #clock: Clock
  readonly #report: OnProblem
  readonly #waiting = new Map<string, { cancel(): void }>()
  readonly #told = new Set<string>()

  constructor(clock: Clock, report: OnProblem) {
    this.#clock = clock
    this.#report = report
  }

  published(channel: string): void {
    if (this.#told.has(channel) || this.#waiting.has(channel)) return
    this.#waiting.set(
      channel,
      this.#clock.after(patienceMs, () => this.#tell(channel)),
    )
  }

  read(channel: string): void {
    this.#waiting.get(channel)?.cancel()
    this.#waiting.delete(channel)
  }

  close(): void {
    for (const channel of this.#waiting.keys()) this.read(channel)
  }

  /** An event may be nobody's; a command that nobody takes does not go on by itself. */
  #tell(channel: string): void {
    this.#waiting.delete(channel)
    this.#told.add(channel)
    const isCommand = isCommandChannel(channel)
    const remedy = isCommand
      ? 'attach its participant, or mend the name of the channel'
      : 'subscribe to it, if it matters'
    this.#report({
      what: `Nobody reads ${channel}, which messages are published to: ${remedy}`,
      needsPerson: isCommand,
    })
  }
}
