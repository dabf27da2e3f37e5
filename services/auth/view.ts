/** What the Auth Service shows (docs/wire-contract.md). */
import { z } from 'zod'
import { roles, type Role } from '../shared/auth/access-token.ts'
import { exampleIds } from '../shared/http/examples.ts'
import { userOf } from './rows.ts'
import type { UserRow } from './schema.ts'
import type { Tokens } from './sessions.ts'

export const exampleEmail = 'ada@example.com'

export const UserView = z.object({
  sub: z.string().meta({ description: 'The id of the user', example: exampleIds.customer }),
  email: z.string().meta({ example: exampleEmail }),
  roles: z
    .array(z.enum(roles))
    .readonly()
    .meta({ example: ['customer'] }),
})

export const TokensView = z.object({
  token_type: z.literal('Bearer'),
  access_token: z.string().meta({ description: 'A JWT, for the header Authorization', example: 'eyJ…' }),
  expires_in: z.int().meta({ description: 'Seconds', example: 600 }),
  refresh_token: z.string().meta({ description: 'Good once, for POST /refresh', example: 'LfQ…' }),
  refresh_expires_in: z.int().meta({ description: 'Seconds', example: 1_209_600 }),
  user: UserView,
})

export const KeysView = z.object({
  keys: z
    .array(
      z.object({
        kty: z.string().meta({ example: 'EC' }),
        crv: z.string().meta({ example: 'P-256' }),
        x: z.string().meta({ example: 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU' }),
        y: z.string().meta({ example: 'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0' }),
        kid: z.string().meta({ example: 'NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs' }),
        alg: z.string().meta({ example: 'ES256' }),
        use: z.string().meta({ example: 'sig' }),
      }),
    )
    .readonly(),
})

export function userJson(row: UserRow): z.infer<typeof UserView> {
  const { subject, email, roles } = userOf(row)
  return { sub: subject, email, roles }
}

export const tokensJson = (tokens: Tokens): z.infer<typeof TokensView> => ({
  token_type: 'Bearer',
  access_token: tokens.accessToken,
  expires_in: tokens.accessSeconds,
  refresh_token: tokens.refreshToken,
  refresh_expires_in: tokens.refreshSeconds,
  user: { sub: tokens.user.subject, email: tokens.user.email, roles: tokens.user.roles },
})

/** `Customer`, as foreign auth servers write it. */
export const titleOf = (role: Role): string => role.charAt(0).toUpperCase() + role.slice(1)
