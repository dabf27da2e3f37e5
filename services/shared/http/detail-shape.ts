/**
 * Errors as FastAPI answers them: `{ "detail": text }`, and 422 with a list for a request whose parts are not what they must be.
 * What its own words do not tell comes as a "value error" with ours.
 */
import { z } from 'zod'
import type { ErrorShape } from './error-shapes.ts'
import type { Finding } from './issue.ts'

const Found = z.object({
  type: z.string().meta({ example: 'missing' }),
  loc: z.array(z.union([z.string(), z.int()])).meta({ example: ['body', 'items'] }),
  msg: z.string().meta({ example: 'Field required' }),
})

const fraction = ['int_from_float', 'Input should be a valid integer, got a number with a fractional part'] as const

const types: Readonly<Record<string, readonly [type: string, msg: string]>> = {
  string: ['string_type', 'Input should be a valid string'],
  int: ['int_type', 'Input should be a valid integer'],
  number: ['float_type', 'Input should be a valid number'],
  boolean: ['bool_type', 'Input should be a valid boolean'],
  array: ['list_type', 'Input should be a valid list'],
  object: ['model_attributes_type', 'Input should be a valid dictionary or object to extract fields from'],
}

function told({ at, code, expected, isFraction, missing, text }: Finding): z.infer<typeof Found> {
  const loc = [...at]
  if (missing) return { type: 'missing', loc, msg: 'Field required' }
  if (code === 'json') return { type: 'json_invalid', loc, msg: `JSON decode error: ${text}` }
  const [type, msg] = (isFraction ? fraction : types[expected ?? '']) ?? ['value_error', `Value error, ${text}`]
  return { type, loc, msg }
}

export const detailShape: ErrorShape = {
  schema: z.object({
    detail: z.union([
      z.string().meta({ description: 'What is wrong, and what to do', example: 'There is no such order.' }),
      z.array(Found),
    ]),
  }),
  body: (_status, detail) => ({ detail }),
  misshapen: { status: 422, body: (findings) => ({ detail: [...lastOfEach(findings)].map(told) }) },
}

/** Of two that are wrong with one value the last is the narrower. */
const lastOfEach = (findings: readonly Finding[]): Iterable<Finding> =>
  new Map(findings.map((finding) => [JSON.stringify(finding.at), finding])).values()
