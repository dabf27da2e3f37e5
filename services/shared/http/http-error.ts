/** An answer below 500, or a "not now", that a route gives by throwing: the server turns it into its own error shape. */
export class HttpError extends Error {
  override readonly name = 'HttpError'
  readonly status: number
  /** Sent as Retry-After, where asking again helps. */
  readonly retryAfterSeconds: number | undefined

  /** `text` goes to the client as it is: what was wrong and what to do, nothing of the inside. */
  constructor(status: number, text: string, retryAfterSeconds?: number) {
    super(text)
    this.status = status
    this.retryAfterSeconds = retryAfterSeconds
  }
}

/** The body cannot be read at all. */
export class BodyError extends HttpError {}
