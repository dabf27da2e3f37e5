/**
 * Where the messages of a rejected `publish` are: never sent; or perhaps there all the same (publish them again, under their
 * ids). What is refused for good has an error of its own (`RefusedError`).
 */
export type PublishErrorCode = 'not_sent' | 'outcome_unknown'

export class PublishError extends Error {
  override readonly name = 'PublishError'
  readonly code: PublishErrorCode
  constructor(code: PublishErrorCode, message: string, cause?: unknown) {
    super(message, { cause })
    this.code = code
  }
}
