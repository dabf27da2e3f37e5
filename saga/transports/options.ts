/** Reads the options of a transport: what types cannot check at run time, and what is not given. */
import type { RetryPolicy } from '../core/retry.ts'

const isNumber = (value: unknown): value is number => typeof value === 'number' && !Number.isNaN(value)

const kinds = {
  text: { must: 'be a text', fits: (value: unknown) => typeof value === 'string' },
  count: {
    must: 'be a whole number of at least 1',
    fits: (value: unknown) => value === Infinity || (Number.isInteger(value) && (value as number) >= 1),
  },
  countOrNone: {
    must: 'be a whole number of at least 0',
    fits: (value: unknown) => value === Infinity || (Number.isInteger(value) && (value as number) >= 0),
  },
  /** Longer ones setTimeout cannot hold. */
  milliseconds: {
    must: 'be a number of milliseconds from 0 to 2147483647',
    fits: (value: unknown) => isNumber(value) && value >= 0 && value < 2 ** 31,
  },
  /** What AMQP can write of it. */
  prefetch: {
    must: 'be a whole number from 1 to 65535',
    fits: (value: unknown) => Number.isInteger(value) && (value as number) >= 1 && (value as number) <= 65_535,
  },
  bytes: {
    must: 'be a whole number of bytes, at least 1',
    fits: (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 1,
  },
  hook: { must: 'be a function', fits: (value: unknown) => typeof value === 'function' },
  clock: {
    must: 'have the methods now, elapsed and after',
    fits: (value: unknown) => ['now', 'elapsed', 'after'].every((name) => hasMethod(value, name)),
  },
  chance: {
    must: 'have the methods newId and random',
    fits: (value: unknown) => ['newId', 'random'].every((name) => hasMethod(value, name)),
  },
  retry: {
    must: 'say how often and with which pauses: { tries, firstMs, factor, maxMs, jitter }, of which some may be left out',
    fits: (value: unknown) => isObject(value) && Object.entries(value).every(([name, part]) => fitsRetry(name, part)),
  },
  object: { must: 'be an object', fits: (value: unknown) => isObject(value) },
  texts: {
    must: 'be a list of texts, and not an empty one',
    fits: (value: unknown) =>
      Array.isArray(value) && value.length > 0 && value.every((each) => typeof each === 'string' && each !== ''),
  },
  queueType: {
    must: "be 'quorum' or 'classic'",
    fits: (value: unknown) => value === 'quorum' || value === 'classic',
  },
  any: { must: 'be anything', fits: () => true },
} as const

export type Kind = keyof typeof kinds

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const hasMethod = (value: unknown, name: string): boolean =>
  isObject(value) && typeof (value as Readonly<Record<string, unknown>>)[name] === 'function'

function fitsRetry(name: string, value: unknown): boolean {
  if (value === undefined) return true
  if (name === 'tries') return kinds.count.fits(value)
  return ['firstMs', 'factor', 'maxMs', 'jitter'].includes(name) && isNumber(value) && value >= 0
}

/** What every transport has of retries, the rest of them filled in. */
type Filled<Options, Defaults> = Omit<Options, keyof Defaults> & Defaults & { readonly retry: RetryPolicy }

/**
 * @param transport as errors call it: `kafkaTransport`
 * @throws TypeError with a sentence for an option that is unknown, or that no value fits
 */
export function readOptions<Options extends object, Defaults extends { readonly retry: RetryPolicy }>(
  transport: string,
  given: Options,
  defaults: Defaults,
  known: { readonly [Name in keyof Required<Options>]: Kind },
  needed: readonly (keyof Options & string)[] = [],
): Filled<Options, Defaults> {
  if (!isObject(given)) throw new TypeError(`${transport} takes one object of options`)
  const options: Record<string, unknown> = { ...defaults }
  for (const [name, value] of Object.entries(given) as [string, unknown][]) {
    if (!Object.hasOwn(known, name)) {
      throw new TypeError(`${transport} has no option ${name}: it has ${Object.keys(known).join(', ')}`)
    }
    if (value === undefined) continue
    const { must, fits } = kinds[known[name as keyof Options]]
    if (!fits(value)) throw new TypeError(`the option ${name} of ${transport} must ${must}`)
    options[name] = value
  }
  for (const name of needed) {
    if (options[name] === undefined) throw new TypeError(`${transport} needs the option ${name}`)
  }
  options['retry'] = { ...defaults.retry, ...givenOf((given as { readonly retry?: object }).retry) }
  return options as Filled<Options, Defaults>
}

const givenOf = (fields: object = {}): object =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
