/** Serves an HTTP transport with Node's own server, for processes without a web framework. */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { HttpTransport } from './http-transport.ts'
import { maxBodyBytes, refused, tooLarge, type HttpAnswer } from './wire.ts'

/**
 * @example
 * createServer(nodeHttpHandler(transport)).listen(3002)
 */
export function nodeHttpHandler(transport: Pick<HttpTransport, 'receive'>): RequestListener {
  return (request, response) => {
    answer(transport, request).then(
      (content) => write(response, content),
      // The connection broke while the body came: there is nobody to answer.
      () => response.destroy(),
    )
  }
}

async function answer(transport: Pick<HttpTransport, 'receive'>, request: IncomingMessage): Promise<HttpAnswer> {
  const channel = /\/messages\/([\w.-]+)\/?(?:\?.*)?$/.exec(request.url ?? '')?.[1]
  if (channel === undefined) return refused(404, 'there is nothing here: post messages to /messages/<channel>')
  if (request.method !== 'POST') return refused(405, 'messages are sent by POST')
  const body = await bodyOf(request)
  return body === null ? tooLarge() : transport.receive({ channel, headers: request.headers, body })
}

/** No honest mistake is that large: the connection is cut. */
const hopelessBytes = 32 * maxBodyBytes

/** Null where it is too large. The rest of it is then read and dropped, or the sender would never see the answer. */
async function bodyOf(request: IncomingMessage): Promise<Buffer | null> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes <= maxBodyBytes) chunks.push(chunk)
    else chunks.length = 0
    if (bytes > hopelessBytes) throw new Error('the body does not end')
  }
  return bytes > maxBodyBytes ? null : Buffer.concat(chunks)
}

function write(response: ServerResponse, content: HttpAnswer): void {
  if (response.destroyed) return
  response.writeHead(content.status, { ...content.headers, 'content-length': Buffer.byteLength(content.body) })
  response.end(content.body)
}
