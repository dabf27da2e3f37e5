/**
 * Reads request bodies: JSON in UTF-8 only, and only what every store can keep.
 *
 * PostgreSQL refuses text with NUL and JSON with half a surrogate pair, and JSON.stringify overflows its stack on JSON that
 * is nested too deeply (JSON.parse does not): each would be our fault (500) later, so each is the client's here (400).
 */
import { BodyError, HttpError } from './http-error.ts'
import type { HttpServer } from './server.ts'

const deepest = 100

const unkeepable = /[\0\p{Cs}]/u

/** Bytes that are no UTF-8 would otherwise be stored as question marks, without a word. */
const utf8 = new TextDecoder('utf-8', { fatal: true })

export const undeclared = 'the body is not declared as JSON: send it with the header Content-Type: application/json'

export function readJsonBodies(server: HttpServer): void {
  server.removeAllContentTypeParsers()
  server.addContentTypeParser('application/json', { parseAs: 'buffer' }, async (_request: unknown, body: Buffer) => {
    const text = textOf(body)
    if (text.trim() === '') return undefined
    const value = jsonOf(text)
    const flaw = flawOf(value, 0)
    if (flaw !== null) throw new BodyError(400, `the body ${flaw}`)
    return value
  })
  server.addContentTypeParser('*', { parseAs: 'buffer' }, async (_request: unknown, body: Buffer) => {
    if (body.length > 0) throw new HttpError(415, undeclared)
    return undefined
  })
}

function textOf(body: Buffer): string {
  try {
    return utf8.decode(body)
  } catch {
    throw new BodyError(400, 'the body is not UTF-8: encode its text so')
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new BodyError(400, `the body is not JSON (${(error as Error).message}): send one JSON object`)
  }
}

function flawOf(value: unknown, depth: number): string | null {
  if (typeof value === 'string') return textFlaw(value)
  if (typeof value === 'number')
    return Number.isFinite(value) ? null : 'holds a number that is too large: send a smaller one'
  if (typeof value !== 'object' || value === null) return null
  if (depth === deepest) return `is nested more than ${deepest} levels deep: send a flatter one`
  for (const [key, inner] of Object.entries(value)) {
    const flaw = keyFlaw(key, inner) ?? flawOf(inner, depth + 1)
    if (flaw !== null) return flaw
  }
  return null
}

/** Copied into another object, these would change what that object is. */
function keyFlaw(key: string, inner: unknown): string | null {
  const isPrototype =
    key === '__proto__' || (key === 'constructor' && Object.hasOwn(Object(inner) as object, 'prototype'))
  return isPrototype ? `holds a field named ${key}, which is not taken: leave it out` : textFlaw(key)
}

const textFlaw = (text: string): string | null =>
  unkeepable.test(text)
    ? 'holds a text with a character that cannot be stored (NUL or half a surrogate pair): leave it out'
    : null
