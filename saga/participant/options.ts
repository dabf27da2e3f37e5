/** What a participant is made of, checked where types cannot: it may be written in JavaScript. */
import { systemClock, type Clock } from '../clock.ts'
import type { CommandContract } from '../core/contract.ts'
import { problemReporter, type OnProblem } from '../problem.ts'
import type { Handled } from './handle.ts'
import type { Inbox } from './inbox.ts'
import { refuseInASentence, type Refuse } from './refusing.ts'

export interface ParticipantOptions<Tx> {
  /** The contract's name, such as `order`: its commands come from the contract's channel, `order_commands` unless it says another. */
  readonly name: string
  /** Goes into the replies' `source`, such as `order-service`. */
  readonly source: string
  /**
   * Replicas of a participant share the commands by their group. Where none is given it is `<source>-group`; in a service that
   * holds more than the participant it is called after (`order` of `order-service`), `<source>-<name>-group`.
   */
  readonly group?: string
  readonly inbox: Inbox<Tx>
  readonly handlers: readonly Handled<Tx>[]
  /** Commands of others on a shared channel: what is neither theirs nor ours nobody obeys, and that is reported. */
  readonly neighbours?: readonly CommandContract[]
  /** How many `prepare`s run at once; 16 where none is given. */
  readonly concurrency?: number
  /** The words of what the kit refuses by itself; a sentence where none is given. Must say the same of the same. */
  readonly refuse?: Refuse
  readonly clock?: Clock
  /** Told of what an operator should know; what needs a person goes to stderr where none is given. */
  readonly onProblem?: OnProblem
}

export type Settings<Tx> = Required<ParticipantOptions<Tx>>

const isText = (value: unknown): boolean => typeof value === 'string' && value !== ''
const isFunction = (value: unknown): boolean => typeof value === 'function'
const has = (value: unknown, ...methods: readonly string[]): boolean =>
  methods.every((method) => isFunction((Object(value) as Readonly<Record<string, unknown>>)[method]))
const isHandled = (value: unknown): boolean => has(value, 'applyAll') && 'contract' in (value as object)

const checks: { readonly [Name in keyof ParticipantOptions<never>]-?: readonly [(value: unknown) => boolean, string] } =
  {
    name: [isText, 'the name of a contract, such as "order"'],
    source: [isText, 'a text that is not empty, such as "order-service"'],
    group: [isText, 'a text that is not empty'],
    inbox: [
      (value) => has(value, 'transaction', 'find', 'save'),
      'an inbox, such as memoryInbox() or postgresInbox(...)',
    ],
    handlers: [
      (value) => Array.isArray(value) && value.every(isHandled),
      'a list of what handle(...) and handleAll(...) give',
    ],
    neighbours: [
      (value) =>
        Array.isArray(value) && value.every((each) => isText((each as CommandContract | null)?.commandChannel)),
      'a list of commands that a participantContract made',
    ],
    concurrency: [(value) => Number.isInteger(value) && (value as number) >= 1, 'a whole number of at least 1'],
    refuse: [isFunction, 'a function'],
    clock: [(value) => has(value, 'now', 'elapsed', 'after'), 'a clock with now, elapsed and after'],
    onProblem: [isFunction, 'a function'],
  }

const groupOf = (name: string, source: string): string =>
  source === name || source === `${name}-service` ? `${source}-group` : `${source}-${name}-group`

/** @throws TypeError naming the option that is wrong, and what it must be */
export function readOptions<Tx>(given: ParticipantOptions<Tx>): Settings<Tx> {
  if (typeof given !== 'object' || given === null) throw new TypeError('participant takes one object of options')
  for (const name of Object.keys(given)) {
    if (!(name in checks)) {
      throw new TypeError(`participant has no option ${name}: it has ${Object.keys(checks).join(', ')}`)
    }
  }
  const { name, source, inbox, handlers, group = groupOf(name, source), neighbours = [], concurrency = 16 } = given
  const { refuse = refuseInASentence, clock = systemClock, onProblem } = given
  const report = onProblem ?? (() => undefined)
  const settings = { name, source, group, inbox, handlers, neighbours, concurrency, refuse, clock, onProblem: report }
  for (const [option, [fits, must]] of Object.entries(checks)) {
    if (!fits(settings[option as keyof typeof settings])) {
      throw new TypeError(`the option ${option} of participant must be ${must}`)
    }
  }
  return { ...settings, onProblem: problemReporter(onProblem) }
}
