/** One-line JSON logs. Secrets and payment data never get in: what may hold them is cut out by path. */
import { pino, type Logger, type LoggerOptions } from 'pino'

const secret = [
  'authorization',
  'cookie',
  'password',
  'stripe_secret_key',
  'payment_method_id',
  'paymentMethodId',
  'card_token',
  'userStripeCard',
]

/**
 * @param name the service; @param level a pino level, such as `info` or `silent`
 * @param toStderr leaves standard output to what a person reads
 */
export function createLog(name: string, level: string, toStderr = false): Logger {
  return pino(logOptions(name, level), pino.destination({ fd: toStderr ? 2 : 1, sync: false }))
}

export function logOptions(name: string, level: string): LoggerOptions {
  const paths = secret.flatMap((key) => [key, `*.${key}`, `*.*.${key}`, `*.*.*.${key}`])
  return {
    name,
    level,
    redact: { paths, censor: '[removed]' },
    serializers: { err: plainError },
    timestamp: pino.stdTimeFunctions.isoTime,
  }
}

/** As deep as causes are followed: an error may be its own cause. */
const deepestCause = 5

/**
 * What tells where an error comes from, and nothing else: the errors of database and payment clients carry whole rows,
 * requests and headers in fields of their own, which no list of paths would ever cover.
 */
function plainError(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return error
  const { name, message, stack, cause } = error
  const code: unknown = 'code' in error ? error.code : undefined
  return {
    type: name,
    message,
    ...(code === undefined ? {} : { code }),
    stack,
    ...(cause === undefined || depth === deepestCause ? {} : { cause: plainError(cause, depth + 1) }),
  }
}
