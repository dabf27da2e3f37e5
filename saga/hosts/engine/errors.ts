/** What the engine refuses, and whether asking again can help. */
export type EngineErrorCode =
  /** Not now: too much waits, or what held the key is just being removed. Ask again in a moment. */
  | 'busy'
  /** The engine is stopping or stopped. */
  | 'stopped'
  /** No definition of this name, or of a version that live sagas need, is registered. */
  | 'unknown_definition'
  /** The saga's input does not fit the definition's schema. */
  | 'invalid_input'
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
  constructor(code: EngineErrorCode, message: string, cause?: unknown) {
    super(message, { cause })
    this.code = code
    this.retryable = code === 'busy' || code === 'stopped'
  }
}
