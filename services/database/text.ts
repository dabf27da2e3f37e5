/** Text from outside that becomes a column: PostgreSQL keeps no NUL, and an id is never a book. */
import { z } from 'zod'

const longest = 500

export const storableText = z
  .string()
  .min(1)
  .max(longest)
  .refine((value) => !value.includes('\u0000'), 'must not contain NUL')
