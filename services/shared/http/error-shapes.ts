/** The shapes that error answers have: each service's contract fixes one, some routes have another. */
import { z } from 'zod'
import type { Finding } from './issue.ts'

/** What an error answer looks like. */
export interface ErrorShape {
  /** As the API page shows it. */
  readonly schema: z.ZodType
  readonly body: (status: number, text: string) => unknown
  /** How a request is answered whose parts are not what they must be, where that is not 400 and a sentence. */
  readonly misshapen?: {
    readonly status: number
    readonly body: (findings: readonly Finding[]) => unknown
  }
}

/** @param body builds what the schema says */
export const errorShape = <Body>(
  schema: z.ZodType<Body>,
  body: (status: number, text: string) => Body,
): ErrorShape => ({
  schema,
  body,
})

const text = z.string().meta({ description: 'What is wrong, and what to do', example: 'There is no such id.' })

/** `{ "error": … }` */
export const errorAlone = errorShape(z.object({ error: text }), (_status, error) => ({ error }))

/** `{ "detail": … }` */
export const errorDetail = errorShape(z.object({ detail: text }), (_status, detail) => ({ detail }))

/** `{ "success": false, "error": … }` */
export const failureWithError = errorShape(z.object({ success: z.literal(false), error: text }), (_status, error) => ({
  success: false as const,
  error,
}))

/** `{ "success": false, "message": … }` */
export const failureWithMessage = errorShape(
  z.object({ success: z.literal(false), message: text }),
  (_status, message) => ({ success: false as const, message }),
)
