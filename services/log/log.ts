/** One-line JSON logs. Secrets and payment data never get in: what may hold them is cut out by path. */
import { pino, type Logger } from 'pino'

const secret = [
  'authorization',
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
  const paths = secret.flatMap((key) => [key, `*.${key}`, `*.*.${key}`, `*.*.*.${key}`])
  return pino(
    { name, level, redact: { paths, censor: '[removed]' }, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination({ fd: toStderr ? 2 : 1, sync: false }),
  )
}
