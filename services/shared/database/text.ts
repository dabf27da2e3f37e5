/** Text from outside that becomes a column: PostgreSQL keeps no NUL and no half of a surrogate pair, and an id is never a book. */
import { z } from 'zod'

const longest = 500

/** A text that is only for people, as it can be kept: refusing what it belongs to for it would be worse. */
export const asStorable = (text: string): string => text.replaceAll('\u0000', '').slice(0, longest)

export const storableText = z
  .string()
  .min(1)
  .max(longest)
  .refine((value) => !/[\0\p{Surrogate}]/u.test(value), 'must not contain NUL or half a surrogate pair')

/** An e-mail address, whether of a user or a vendor: in several writings it is one, as in a token. */
export const emailText = storableText.toLowerCase()
