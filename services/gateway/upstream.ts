/**
 * What stands behind the front door, and which address there a request asks for.
 *
 * Invariant: whatever a path looks like (percent-encoded, with dots, with a fragment), what is asked for is on the upstream,
 * under its own base, and is none of the paths that are closed.
 */
import { HttpError } from '../shared/http/http-error.ts'

/** Where a service stands behind the front door. */
export interface Place {
  /** Such as `/order`. */
  readonly prefix: string
  /** Whether the service's own paths begin so too; else it never sees that part. */
  readonly kept: boolean
}

export interface Upstream {
  /** As on the command line. */
  readonly name: string
  readonly title: string
  /** What it does, in a few words. */
  readonly does: string
  /** Where it listens, without a slash at the end. */
  readonly url: string
  readonly behind: readonly Place[]
}

/**
 * First parts of paths that lead nowhere from here: messages between services have a way of their own, and who may send
 * them is known by a token that no browser has.
 */
const closed: readonly string[] = ['messages']

/**
 * The upstream's address for a path of the front door, without its query.
 *
 * @throws HttpError where it has none
 */
export function addressOf({ url }: Upstream, { prefix, kept }: Place, path: string): string {
  // The router knows the prefix in every way of writing it, percent-encoded too.
  if (!path.startsWith(prefix)) throw new HttpError(404, `write ${prefix} as it is, and not percent-encoded`)
  const own = kept ? path : path.slice(prefix.length) || '/'
  const plain = decoded(own)
  if (/[#\\]/.test(own) || /\/\.\.|\.\.\/|\/\.(\/|$)/.test(plain))
    throw new HttpError(400, 'the path holds . or .. as a part, # or a backslash: leave them out')
  const [first = ''] = plain.split('/').filter((part) => part !== '')
  if (closed.includes(first.toLowerCase()))
    throw new HttpError(
      404,
      `/${first} does not stand behind this front door: services send each other messages directly`,
    )
  return url + own
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    throw new HttpError(400, 'the path cannot be decoded: percent-encode it')
  }
}
