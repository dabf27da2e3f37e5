/**
 * Where the messages of a rejected `publish` are: never sent; perhaps there all the same (publish them again, under their
 * ids); or refused for good.
 */
export type PublishErrorCode = 'not_sent' | 'outcome_unknown' | 'refused'

export class PublishError extends Error {
  override readonly name = 'PublishError'
  readonly code: PublishErrorCode
  constructor(code: PublishErrorCode, message: string, cause?: unknown) {
    super(message, { cause })
    this.code = code
  }
}
