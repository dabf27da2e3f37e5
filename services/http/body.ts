/**
 * Reads request bodies: JSON only, and only what every store can keep.
 *
 * PostgreSQL refuses text with NUL and JSON with half a surrogate pair, and JSON.stringify overflows its stack on JSON that
 * is nested too deeply (JSON.parse does not): each would be our fault (500) later, so each is the client's here (400).
 */
import { HttpError } from './http-error.ts'
import type { HttpServer } from './server.ts'

const deepest = 100

const unkeepable = /[\0\p{Cs}]/u

export function readJsonBodies(server: HttpServer): void {
  const parseJson = server.getDefaultJsonParser('error', 'error')
  server.removeAllContentTypeParsers()
  server.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    const text = body.toString()
    if (text.trim() === '') return done(null, undefined)
    return parseJson(request, text, (error, value: unknown) => {
      if (error !== null)
        return done(new HttpError(400, `the body is not JSON (${error.message}): send one JSON object`))
      const flaw = flawOf(value, 0)
      return done(flaw === null ? null : new HttpError(400, `the body ${flaw}`), value)
    })
  })
  server.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => {
    if (body.length === 0) return done(null, undefined)
    return done(
      new HttpError(415, 'the body is not declared as JSON: send it with the header Content-Type: application/json'),
    )
  })
}

function flawOf(value: unknown, depth: number): string | null {
  if (typeof value === 'string') return textFlaw(value)
  if (typeof value === 'number')
    return Number.isFinite(value) ? null : 'holds a number that is too large: send a smaller one'
  if (typeof value !== 'object' || value === null) return null
  if (depth === deepest) return `is nested more than ${deepest} levels deep: send a flatter one`
  for (const [key, inner] of Object.entries(value)) {
    const flaw = textFlaw(key) ?? flawOf(inner, depth + 1)
    if (flaw !== null) return flaw
  }
  return null
}

const textFlaw = (text: string): string | null =>
  unkeepable.test(text)
    ? 'holds a text with a character that cannot be stored (NUL or half a surrogate pair): leave it out'
    : null
