/**
 * Passwords as they are kept: scrypt, with salt and cost beside the hash, as `$scrypt$ln=15,r=8,p=3$<salt>$<hash>`.
 *
 * Invariants:
 * - it is worked out in Node's threads, of which so few at once that the event loop and the files have theirs;
 * - whoever comes while too many wait is told to come again, and not kept waiting for longer than clients wait;
 * - a password for nobody costs what one for somebody does.
 */
import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { HttpError } from '../shared/http/http-error.ts'

export interface PasswordCost {
  /** N is 2 to the power of that. */
  readonly log2N: number
  readonly r: number
  readonly p: number
}

export interface Passwords {
  /** As it is to be kept. */
  hash(password: string): Promise<string>
  /** @param kept null where there is nobody with such a password, which is found out in the same time */
  verify(password: string, kept: string | null): Promise<boolean>
  /** Whether it was kept at another cost than is asked for now. */
  isOutdated(kept: string): boolean
}

const keyBytes = 32
const saltBytes = 16

/** One core is for everything else; and of Node's four threads one is for files. */
const mostAtOnce = Math.max(1, Math.min(3, availableParallelism() - 1))
/** Some ten seconds' worth where one is worked out at once. */
const mostWaiting = 24
const comeAgainSeconds = 5

/** @throws HttpError (from both) 503 where too many wait */
export function scryptPasswords(cost: PasswordCost): Passwords {
  const inTurn = turns()
  const derive = (password: string, salt: Buffer, { log2N, r, p }: PasswordCost): Promise<Buffer> =>
    inTurn(
      () =>
        new Promise((resolve, reject) => {
          const N = 2 ** log2N
          const options = { N, r, p, maxmem: 256 * N * r }
          // The same letters may come in two codings, by the keyboard.
          scrypt(password.normalize('NFKC'), salt, keyBytes, options, (error, key) =>
            error === null ? resolve(key) : reject(error),
          )
        }),
    )
  const nobody = { cost, salt: randomBytes(saltBytes), key: randomBytes(keyBytes) }
  return {
    async hash(password) {
      const salt = randomBytes(saltBytes)
      return textOf(cost, salt, await derive(password, salt, cost))
    },
    async verify(password, kept) {
      const known = kept === null ? nobody : partsOf(kept)
      const key = await derive(password, known.salt, known.cost)
      return timingSafeEqual(key, known.key) && kept !== null
    },
    isOutdated(kept) {
      const { log2N, r, p } = partsOf(kept).cost
      return log2N !== cost.log2N || r !== cost.r || p !== cost.p
    },
  }
}

const textOf = ({ log2N, r, p }: PasswordCost, salt: Buffer, key: Buffer): string =>
  `$scrypt$ln=${log2N},r=${r},p=${p}$${salt.toString('base64')}$${key.toString('base64')}`

function partsOf(kept: string): { readonly cost: PasswordCost; readonly salt: Buffer; readonly key: Buffer } {
  const [, log2N, r, p, salt = '', key = ''] = /^\$scrypt\$ln=(\d+),r=(\d+),p=(\d+)\$([^$]+)\$([^$]+)$/.exec(kept) ?? []
  const parts = {
    cost: { log2N: Number(log2N), r: Number(r), p: Number(p) },
    salt: Buffer.from(salt, 'base64'),
    key: Buffer.from(key, 'base64'),
  }
  if (parts.key.length !== keyBytes) throw new Error('a password is kept in a form that is not known here')
  return parts
}

function turns() {
  let running = 0
  const waiting: (() => void)[] = []
  return async <T>(work: () => Promise<T>): Promise<T> => {
    if (running < mostAtOnce) running += 1
    else {
      if (waiting.length >= mostWaiting)
        throw new HttpError(503, 'too many passwords are being checked: send it again in a moment', comeAgainSeconds)
      // Whoever ends hands over his place.
      await new Promise<void>((resolve) => waiting.push(resolve))
    }
    try {
      return await work()
    } finally {
      const next = waiting.shift()
      if (next === undefined) running -= 1
      else next()
    }
  }
}
