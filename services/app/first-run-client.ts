/** How the first run talks to the services: as any client would, over HTTP. */

export type Print = (line: string) => void

/** @throws Error where the answer is no success */
async function fetched(url: string, init: RequestInit = {}): Promise<Response> {
  const response = await fetch(url, { signal: AbortSignal.timeout(60_000), redirect: 'error', ...init })
  if (!response.ok)
    throw new Error(`${init.method ?? 'GET'} ${url} answered ${response.status}: ${await response.text()}`)
  return response
}

export const json = async <T>(url: string, init?: RequestInit): Promise<T> =>
  (await (await fetched(url, init)).json()) as T

async function* linesOf({ body }: Response): AsyncGenerator<string, void, undefined> {
  let rest = ''
  for await (const text of (body ?? new ReadableStream<Uint8Array>()).pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    yield* lines
  }
}

export const post = <T>(url: string, body: object): Promise<T> =>
  json<T>(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })

/**
 * Hands on the data of each event of a stream as it comes, until the stream ends.
 *
 * @returns false where it has not ended in time
 */
export async function eachEvent(
  url: string,
  withinMs: number,
  tell: (data: unknown) => void,
  headers: Readonly<Record<string, string>> = {},
): Promise<boolean> {
  const late = new AbortController()
  const timer = setTimeout(() => late.abort(), withinMs)
  try {
    for await (const line of linesOf(await fetched(url, { signal: late.signal, headers })))
      if (line.startsWith('data: ')) tell(JSON.parse(line.slice(6)))
    return true
  } catch (error) {
    if (late.signal.aborted) return false
    throw error
  } finally {
    clearTimeout(timer)
  }
}

/** @example at(12, 'began') // '      12 ms  began' */
export const at = (ms: number, text: string): string => `   ${String(Math.round(ms)).padStart(5)} ms  ${text}`
