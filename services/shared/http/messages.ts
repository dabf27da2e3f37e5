/** Mounts the receiving end of a transport that comes by HTTP: `POST /messages/:channel`. */
import { z } from 'zod'
import type { HttpServer } from './server.ts'

/** The one method of the transport that is used here. */
export interface MessageReceiver {
  /** `body` is the text as it came. Never rejects: what is wrong is in the answer. */
  receive(request: {
    readonly channel: string
    readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
    readonly body: string
  }): Promise<{ readonly status: number; readonly headers: Readonly<Record<string, string>>; readonly body: string }>
}

export function mountMessages(server: HttpServer, receiver: MessageReceiver): void {
  // In a scope of its own: here bodies stay text, the transport says what is wrong with them.
  server.register(async (scope: HttpServer) => {
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => done(null, body))
    scope.post(
      '/messages/:channel',
      {
        schema: {
          tags: ['messages'],
          summary: 'Takes one message for a channel',
          description:
            'The body is the message envelope; its id comes in the header Idempotency-Key. A reply may be in the answer.',
          params: z.object({ channel: z.string() }),
        },
      },
      async (request, reply) => {
        const body = typeof request.body === 'string' ? request.body : ''
        const answer = await receiver.receive({ channel: request.params.channel, headers: request.headers, body })
        return reply.code(answer.status).headers(answer.headers).send(answer.body)
      },
    )
  })
}
