/**
 * Mounts the receiving end of a transport that comes by HTTP: `POST /messages/:channel`.
 *
 * Invariants:
 * - only JSON is taken: a page of another site can send any text without asking the browser's leave, and JSON it cannot;
 * - nothing of a body is read before its sender is known to be one who may write to the channel;
 * - an id that comes in here is one that every store and every header can keep.
 */
import type { IncomingHttpHeaders } from 'node:http'
import { z } from 'zod'
import { errorAlone } from './error-shapes.ts'
import { exampleIds } from './examples.ts'
import { HttpError } from './http-error.ts'
import type { HttpServer } from './server.ts'

export interface MessageReceiver {
  /**
   * Finds out who sends, and whether he may write to the channel.
   *
   * @throws HttpError where he may not
   */
  admit(channel: string, headers: IncomingHttpHeaders): void
  /** `body` is what the JSON held. Never rejects: what is wrong is in the answer. */
  receive(request: {
    readonly channel: string
    readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
    readonly body: unknown
  }): Promise<{ readonly status: number; readonly headers: Readonly<Record<string, string>>; readonly body: string }>
}

const text = (example: string) => ({ type: 'string', example })
const idText = (example: string) => ({ ...text(example), minLength: 1, maxLength: 200 })

/** For the API page alone: the transport reads it, and says in its own words what it lacks. */
const Envelope = z.unknown().meta({
  type: 'object',
  properties: {
    type: idText('get_payment_info'),
    id: idText(exampleIds.message),
    correlation_id: { ...idText(exampleIds.saga), description: 'The saga' },
    timestamp: text('2026-01-31T12:00:00.000'),
    payload: { type: ['object', 'null'], example: { user_id: exampleIds.customer } },
    source: text('create-order-saga'),
    causation_id: { ...idText(exampleIds.message), description: 'Of the command that it answers' },
    undoes: { ...idText(exampleIds.message), description: 'The command that it undoes' },
  },
  required: ['type', 'correlation_id'],
})

const Messages = z.object({ messages: z.array(Envelope) })

export function mountMessages(server: HttpServer, receiver: MessageReceiver): void {
  server.post<{ Params: { channel: string } }>(
    '/messages/:channel',
    {
      config: { errors: errorAlone, refuses: [401, 404] },
      schema: {
        operationId: 'take_message',
        tags: ['messages'],
        summary: 'Takes one message for a channel',
        description:
          'The id of the message is in its body or in the header Idempotency-Key; who sends it, in Authorization. A reply may be in the answer. After 503 it is to be sent again under the same id.',
        security: [{ service: [] }],
        params: z.object({ channel: z.string().meta({ example: 'order_commands' }) }),
        body: Envelope,
        response: {
          200: Messages.describe('It is handled; with what was answered'),
          202: Messages.describe('It is taken; the answer comes later'),
        },
      },
      onRequest: async (request) => receiver.admit(request.params.channel, request.headers),
    },
    async ({ params: { channel }, headers, body }, reply) => {
      checkIds(headers, body)
      const answer = await receiver.receive({ channel, headers, body })
      return reply.code(answer.status).headers(answer.headers).send(answer.body)
    },
  )
}

const idHeaders = ['idempotency-key', 'ordersaga-causation-id', 'ordersaga-undoes']
const idFields = ['type', 'id', 'correlation_id', 'causation_id', 'undoes']

const id = /^[\x21-\x7e]{1,200}$/

function checkIds(headers: IncomingHttpHeaders, body: unknown): void {
  check('the header ', idHeaders, headers)
  check('', idFields, Object(body) as Readonly<Record<string, unknown>>)
}

/** What is missing, empty or no text the transport speaks of itself. */
function check(kind: string, names: readonly string[], values: Readonly<Record<string, unknown>>): void {
  for (const name of names) {
    const value = values[name]
    if (typeof value === 'string' && value !== '' && !id.test(value))
      throw new HttpError(400, `${kind}${name} must have 1 to 200 visible ASCII characters, and no space among them`)
  }
}
