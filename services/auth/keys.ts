/**
 * The keys that sign access tokens, kept in the service's database and shared by its replicas.
 *
 * The newest key whose time has come signs. The next one is made, and shown, some minutes before its time, so that
 * everybody who checks tokens has it by then. A key stays until the last token that it may have signed has expired.
 *
 * Invariants:
 * - which key signs follows from the table and the time: replicas need not speak with each other;
 * - of several that make the next key one does;
 * - nobody signs by what he read long ago: one that was frozen reads again first;
 * - a private key leaves this process only sealed (JWE), and is gone from the table once it signs no more.
 */
import { hkdfSync } from 'node:crypto'
import {
  calculateJwkThumbprint,
  compactDecrypt,
  CompactEncrypt,
  createLocalJWKSet,
  exportJWK,
  generateKeyPair,
  importJWK,
  type CryptoKey,
  type JWK,
  type JWTVerifyGetKey,
} from 'jose'
import type { Kysely } from 'kysely'
import { clockToleranceSeconds, tokenAlgorithm, type SigningKey } from '../shared/auth/access-token.ts'
import { DatabaseError } from '../shared/database/errors.ts'
import type { Lifetimes } from './domain.ts'
import type { AuthTables, SigningKeyRow } from './schema.ts'

/** How long a key is shown before it signs. */
const announceMs = 10 * 60_000
/** How old what was read of the table may be for signing. */
const staleMs = 60_000
/** Whoever asks for a key that is not known makes the table be read again, at most so often. */
const rereadMs = 1_000

export interface PublicKey {
  readonly kty: string
  readonly crv: string
  readonly x: string
  readonly y: string
  readonly kid: string
  readonly alg: string
  readonly use: string
}

export interface KeyRing {
  /** The key that signs now. */
  signing(): Promise<SigningKey>
  /** Finds the key that a token names. */
  readonly verifying: JWTVerifyGetKey
  /** All that verify, as the world may see them. */
  published(): Promise<readonly PublicKey[]>
  /** Makes the next key where it is time, and removes what nobody needs any more. */
  tend(): Promise<void>
}

export interface KeyRingOptions {
  readonly db: Kysely<AuthTables>
  /** Seals private keys; the same for all replicas. */
  readonly secret: string
  readonly lifetimes: Lifetimes
  readonly now: () => number
}

interface Ring {
  readonly readAt: number
  readonly rows: readonly SigningKeyRow[]
  readonly verifying: JWTVerifyGetKey
}

/** @throws DatabaseError where the keys there are sealed with another secret */
export async function openKeyRing({ db, secret, lifetimes, now }: KeyRingOptions): Promise<KeyRing> {
  const seal = sealing(secret)
  const opened = new Map<string, Promise<CryptoKey>>()
  let ring: Ring = await read()
  let reading: Promise<Ring> | null = null

  async function read(): Promise<Ring> {
    const readAt = now()
    const rows = await db.selectFrom('signing_keys').selectAll().orderBy('generation').execute()
    return { readAt, rows, verifying: createLocalJWKSet({ keys: rows.map(({ public_jwk }) => publicOf(public_jwk)) }) }
  }

  /** Whoever asks while the table is read has the same answer. */
  function reread(): Promise<Ring> {
    reading ??= read()
      .then((found) => (ring = found))
      .finally(() => (reading = null))
    return reading
  }

  async function noOlderThan(ms: number): Promise<Ring> {
    const age = now() - ring.readAt
    return age >= 0 && age <= ms ? ring : reread()
  }

  async function signing(): Promise<SigningKey> {
    const { rows } = await noOlderThan(staleMs)
    const row = signerOf(rows, now())
    if (row?.sealed_private_key == null) throw new Error('there is no key that signs')
    const { kid, sealed_private_key: sealed } = row
    const key = opened.get(kid) ?? seal.open(kid, sealed)
    opened.set(kid, key)
    return { kid, privateKey: await key }
  }

  async function makeNext(): Promise<void> {
    const newest = ring.rows.at(-1)
    if (newest !== undefined && now() < newest.signs_from + lifetimes.keyMs - announceMs) return
    const generation = (newest?.generation ?? 0) + 1
    const signsFrom = newest === undefined ? now() : now() + announceMs
    await db
      .insertInto('signing_keys')
      .values({ generation, signs_from: signsFrom, ...(await newKey(seal)) })
      .onConflict((conflict) => conflict.column('generation').doNothing())
      .execute()
    await reread()
  }

  async function removeOld(): Promise<void> {
    let isChanged = false
    for (const [index, row] of ring.rows.entries()) {
      const next = ring.rows[index + 1]
      if (next === undefined) break
      const signedUntil = next.signs_from + staleMs
      const neededUntil = signedUntil + lifetimes.accessMs + clockToleranceSeconds * 1_000
      const isOver = now() > neededUntil
      if (!isOver && (now() <= signedUntil || row.sealed_private_key === null)) continue
      if (isOver) await db.deleteFrom('signing_keys').where('kid', '=', row.kid).execute()
      else await db.updateTable('signing_keys').set({ sealed_private_key: null }).where('kid', '=', row.kid).execute()
      isChanged = true
    }
    if (isChanged) await reread()
  }

  const keys: KeyRing = {
    signing,
    async verifying(header, token) {
      const known = ring.rows.some(({ kid }) => kid === header.kid)
      const { verifying } = await noOlderThan(known ? staleMs : rereadMs)
      return verifying(header, token)
    },
    async published() {
      const { rows } = await noOlderThan(staleMs)
      return rows.map(({ public_jwk }) => publicOf(public_jwk))
    },
    async tend() {
      await reread()
      await makeNext()
      await removeOld()
    },
  }
  await keys.tend()
  await signing()
  return keys
}

/** The newest whose time has come; before that the first. */
const signerOf = (rows: readonly SigningKeyRow[], now: number): SigningKeyRow | undefined =>
  rows.findLast(({ signs_from }) => signs_from <= now) ?? rows[0]

const publicOf = (json: string): PublicKey => JSON.parse(json) as PublicKey

async function newKey(seal: Sealing) {
  const { publicKey, privateKey } = await generateKeyPair(tokenAlgorithm, { extractable: true })
  const jwk = await exportJWK(publicKey)
  const kid = await calculateJwkThumbprint(jwk)
  return {
    kid,
    public_jwk: JSON.stringify({ ...jwk, kid, alg: tokenAlgorithm, use: 'sig' }),
    sealed_private_key: await seal.close(kid, await exportJWK(privateKey)),
  }
}

interface Sealing {
  close(kid: string, key: JWK): Promise<string>
  open(kid: string, sealed: string): Promise<CryptoKey>
}

function sealing(secret: string): Sealing {
  const key = new Uint8Array(hkdfSync('sha256', secret, '', 'ordersaga: signing keys', 32))
  return {
    // The key's name is sealed with it: a row that is given another's is none.
    close: (kid, jwk) =>
      new CompactEncrypt(new TextEncoder().encode(JSON.stringify(jwk)))
        .setProtectedHeader({ alg: 'dir', enc: 'A256GCM', kid })
        .encrypt(key),
    async open(kid, sealed) {
      const { plaintext, protectedHeader } = await compactDecrypt(sealed, key, {
        keyManagementAlgorithms: ['dir'],
        contentEncryptionAlgorithms: ['A256GCM'],
      }).catch((cause: unknown) => {
        throw new DatabaseError(
          'unusable',
          'the signing keys in the database are sealed with another secret: start with that one (AUTH_KEY_SECRET, or the ' +
            'file auth-key-secret in ORDERSAGA_DIR), or empty the table signing_keys, which ends all access tokens',
          cause,
        )
      })
      if (protectedHeader['kid'] !== kid) throw new Error(`the private key of ${kid} is another one's`)
      const jwk = JSON.parse(new TextDecoder().decode(plaintext)) as JWK
      return (await importJWK(jwk, tokenAlgorithm)) as CryptoKey
    },
  }
}
