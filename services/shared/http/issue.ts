/** Turns what a schema found wrong into a sentence that says which field, what was expected and what to do. */
import type { FastifyError } from 'fastify'
import { hasZodFastifySchemaValidationErrors, type ZodFastifySchemaValidationError } from 'fastify-type-provider-zod'

/** More than this many findings help nobody to find the first mistake. */
const findingsNamed = 3

const wholes: Readonly<Record<string, string>> = {
  body: 'the body',
  querystring: 'the query',
  params: 'the path',
  headers: 'the headers',
}

/** One thing that is wrong with a request. */
export interface Finding {
  /** `body`, `query`, `path` or `headers`, and then the names and numbers that lead to it. */
  readonly at: readonly (string | number)[]
  /** As zod calls it; `json` for a body that cannot be read. */
  readonly code: string
  /** What was expected where the type is wrong; null else. */
  readonly expected: string | null
  /** A number that has a fraction, where a whole one was expected. */
  readonly isFraction: boolean
  readonly missing: boolean
  /** A sentence. */
  readonly text: string
}

const placeNames: Readonly<Record<string, string>> = {
  body: 'body',
  querystring: 'query',
  params: 'path',
  headers: 'header',
}

/** Null where the error is not about the shape of a request. */
export function findingsOf(error: FastifyError): readonly Finding[] | null {
  if (!hasZodFastifySchemaValidationErrors(error)) return null
  const context = error.validationContext ?? 'body'
  return error.validation.map((finding) => {
    const { keyword, instancePath, params, message } = finding
    const steps = instancePath.split('/').filter((part) => part !== '')
    const isType = keyword === 'invalid_type'
    return {
      at: [placeNames[context] ?? context, ...steps.map((part) => (/^\d+$/.test(part) ? Number(part) : part))],
      code: keyword,
      expected: isType ? (expectedIn(message) ?? String(params['expected'])) : null,
      isFraction: isType && params['expected'] === 'int',
      missing:
        isType &&
        /received (undefined|null)$/.test(message ?? '') &&
        (message?.endsWith('undefined') === true || steps.length === 0),
      text: sentence(finding, wholes[context] ?? 'the request'),
    }
  })
}

/** A schema of whole numbers knows what is no number at all as no number: its message may say what it is for. */
const expectedIn = (message: string | undefined): string | undefined =>
  /^Invalid input: expected (int), received/.exec(message ?? '')?.[1]

const kinds: Readonly<Record<string, string>> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  object: 'an object',
  record: 'an object',
  array: 'a list',
  undefined: 'nothing',
  null: 'null',
  nonoptional: 'a value',
}

const bounds: Readonly<Record<string, string>> = {
  '>=': 'at least',
  '<=': 'at most',
  '>': 'more than',
  '<': 'less than',
}

/** Null where the error is not about the shape of a request. */
export function shapeSentence(error: FastifyError): string | null {
  if (!hasZodFastifySchemaValidationErrors(error)) return null
  const whole = wholes[error.validationContext ?? 'body'] ?? 'the request'
  const findings = error.validation.map((finding) => sentence(finding, whole))
  const more = findings.length - findingsNamed
  return findings.slice(0, findingsNamed).join('; ') + (more > 0 ? `; and ${more} more` : '')
}

function sentence(finding: ZodFastifySchemaValidationError, whole: string): string {
  const field = fieldName(finding.instancePath) || whole
  const message = finding.message ?? ''
  if (finding.keyword === 'unrecognized_keys')
    return `${field} has fields that are not known here: ${lowerFirst(message)}`
  const expected = expectedOf(finding)
  if (expected === null) return boundSentence(field, message) ?? `${field}: ${lowerFirst(message)}`
  const received = /received (\S+)$/.exec(message)?.[1]
  // The framework hands over a missing body as null.
  const missing = received === 'undefined' || (received === 'null' && field === wholes['body'])
  if (missing) return `${field} is missing: send ${expected}`
  // A text in a query that is no number, and a fraction: what came would only puzzle.
  const puzzles = received === undefined || received === 'NaN' || (received === 'number' && expected.includes('number'))
  return `${field} must be ${expected}` + (puzzles ? '' : `, not ${kinds[received] ?? received}`)
}

/** Null where the schema has a message of its own. */
function boundSentence(field: string, message: string): string | null {
  const match = /^Too (?:small|big): expected \S+ to (be|have) (>=|<=|>|<)(\S+)(?: (\w+))?$/.exec(message)
  if (match === null) return null
  const [, verb, sign = '', bound = '', unit = ''] = match
  return `${field} must ${verb} ${bounds[sign]} ${bound} ${bound === '1' ? unit.replace(/s$/, '') : unit}`.trim()
}

/** Null where the schema has a message of its own, or one that says it all. */
function expectedOf({ keyword, message, params }: ZodFastifySchemaValidationError): string | null {
  if (keyword === 'invalid_type' && message?.startsWith('Invalid input: expected') === true)
    return kind(params['expected'])
  if (keyword === 'invalid_value' && Array.isArray(params['values']) && message?.startsWith('Invalid') === true) {
    return params['values'].map((value) => JSON.stringify(value)).join(' or ')
  }
  if (keyword === 'invalid_union' && message === 'Invalid input') return alternatives(params['errors'])
  return null
}

/** What the members of a union expect, where each of them says no more than a type. */
function alternatives(errors: unknown): string | null {
  if (!Array.isArray(errors)) return null
  const members = (
    errors as readonly (readonly { readonly path: readonly unknown[]; readonly expected?: unknown }[])[]
  ).map(([first]) => (first?.path.length === 0 && first.expected !== undefined ? kind(first.expected) : null))
  return members.includes(null) ? null : [...new Set(members)].join(' or ')
}

const kind = (type: unknown): string => kinds[String(type)] ?? `of type ${String(type)}`

/** `/order_details/foodItems/0/price` -> `order_details.foodItems[0].price` */
const fieldName = (pointer: string): string =>
  pointer
    .split('/')
    .filter((part) => part !== '')
    .reduce((name, part) => (/^\d+$/.test(part) ? `${name}[${part}]` : name === '' ? part : `${name}.${part}`), '')

const lowerFirst = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1)
