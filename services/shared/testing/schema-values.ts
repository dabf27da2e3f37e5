/** For tests: values that a JSON schema allows, and now and then, at any place in them, one that it does not. */
import fc from 'fast-check'

export interface JsonSchema {
  readonly type?: string | readonly string[]
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly anyOf?: readonly JsonSchema[]
  readonly oneOf?: readonly JsonSchema[]
  readonly allOf?: readonly JsonSchema[]
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly required?: readonly string[]
  readonly items?: JsonSchema
  readonly minItems?: number
  readonly minLength?: number
  readonly maxLength?: number
  readonly minimum?: number
  readonly maximum?: number
  readonly pattern?: string
  readonly format?: string
  readonly example?: unknown
  readonly $ref?: string
}

/** Texts at which readers of all kinds stumble. */
const odd = ['', ' ', '0', '-1', '1e999', 'NaN', 'null', '[]', "'--", '../..', '%00', '\u{1F354}', '9'.repeat(40)]

const junk: fc.Arbitrary<unknown> = fc.oneof(
  fc.jsonValue({ maxDepth: 2 }),
  fc.constantFrom(...odd, 'x'.repeat(600), null, 1e308, Number.MAX_SAFE_INTEGER, [], {}),
)

/** Texts that mean something to who reads them, such as ids that there are; by the example of the schema that they are for. */
export type KnownTexts = (example: unknown) => fc.Arbitrary<string>

/**
 * @throws Error where the schema has what this does not know
 */
export function valuesOf(schema: JsonSchema, known: KnownTexts): fc.Arbitrary<unknown> {
  const right = allowed(schema, known)
  const example = schema.example === undefined ? right : fc.constant(schema.example)
  return fc.oneof({ weight: 20, arbitrary: right }, { weight: 9, arbitrary: example }, { weight: 1, arbitrary: junk })
}

function allowed(schema: JsonSchema, known: KnownTexts): fc.Arbitrary<unknown> {
  const { type, anyOf, oneOf } = schema
  if (schema.$ref !== undefined || schema.allOf !== undefined)
    throw new Error(`no values can be made for ${JSON.stringify(schema)}: teach schema-values.ts to read it`)
  if ('const' in schema) return fc.constant(schema.const)
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum)
  const several = anyOf ?? oneOf ?? (typeof type === 'object' ? type.map((each) => ({ ...schema, type: each })) : null)
  const { example } = schema
  if (several !== null) return fc.oneof(...several.map((each) => valuesOf({ example, ...each }, known)))
  switch (type) {
    case 'string':
      return texts(schema, known)
    case 'integer':
    case 'number':
      return numbers(schema)
    case 'boolean':
      return fc.boolean()
    case 'null':
      return fc.constant(null)
    case 'array':
      return fc.array(valuesOf(schema.items ?? {}, known), { minLength: schema.minItems ?? 0, maxLength: 3 })
    case 'object':
      return objects(schema, known)
    default:
      return fc.jsonValue({ maxDepth: 2 })
  }
}

function texts({ example, pattern, format, minLength = 0, maxLength }: JsonSchema, known: KnownTexts) {
  if (format === 'date-time') return fc.date({ noInvalidDate: true }).map((date) => date.toISOString())
  if (pattern !== undefined) return fc.stringMatching(new RegExp(pattern))
  const length = { minLength, maxLength: Math.min(maxLength ?? 20, 20) }
  return fc.oneof({ weight: 6, arbitrary: known(example) }, fc.string(length), fc.string({ ...length, unit: 'binary' }))
}

function numbers({ type, minimum: min = -1000, maximum: max = 10_000 }: JsonSchema): fc.Arbitrary<number> {
  const bounds = { min: Math.max(min, Number.MIN_SAFE_INTEGER), max: Math.min(max, Number.MAX_SAFE_INTEGER) }
  return type === 'integer' ? fc.integer(bounds) : fc.double({ ...bounds, noNaN: true })
}

function objects({ properties = {}, required = [] }: JsonSchema, known: KnownTexts): fc.Arbitrary<unknown> {
  const fields = Object.entries(properties).map(([name, schema]) => [name, valuesOf(schema, known)] as const)
  const whole = fc.record(Object.fromEntries(fields), { requiredKeys: [...required] })
  const lacking = fc.record(Object.fromEntries(fields), { requiredKeys: [] })
  return fc.oneof({ weight: 19, arbitrary: whole }, { weight: 1, arbitrary: lacking })
}
