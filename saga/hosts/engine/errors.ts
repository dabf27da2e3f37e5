/** What the engine refuses, and whether asking again can help. */
export type EngineErrorCode =
  /** Not now: too much waits, or what held the key is just being removed. Ask again in a moment. */
  | 'busy'
  /** The engine is stopping or stopped; on Temporal also: the saga's workflow was ended there, for good (not `retryable`). */
  | 'stopped'
  /** No definition of this name and version is registered. */
  | 'unknown_definition'
  /** What is registered as a definition is none, or there are two of one version. */
  | 'invalid_definition'
  /** A definition is declared in another way than the one that live sagas of its version began under. */
  | 'structure_changed'
  /** What was given does not fit: the saga's input, a key, an action. */
  | 'invalid_input'
  /** The saga runs under a version that is not registered here: the request is kept for a process that runs it. */
  | 'handed_over'
  | 'not_found'
  /** The idempotency key was used with another input. */
  | 'key_reused'
  /** The store refused this saga alone; the rest of its batch went on. */
  | 'refused'

export class EngineError extends Error {
  override readonly name = 'EngineError'
  readonly code: EngineErrorCode
  /** True where the same call may succeed later. */
  readonly retryable: boolean
  constructor(
    code: EngineErrorCode,
    message: string,
    cause?: unknown,
    retryable = code === 'busy' || code === 'stopped',
  ) {
    super(message, { cause })
    this.code = code
    this.retryable = retryable
  }
}

export const keyReused = (): EngineError =>
  new EngineError(
    'key_reused',
    'The idempotency key was used for another request. Use a new key, or send the same body again.',
  )

export const notFound = (sagaId: string): EngineError => new EngineError('not_found', `There is no saga ${sagaId}.`)

export const waitEnded = (sagaId: string): EngineError =>
  new EngineError('stopped', `The wait for saga ${sagaId} was ended before the saga was; ask for it again.`)
