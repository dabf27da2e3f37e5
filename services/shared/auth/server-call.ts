/** One question to an auth server, whose silence and failures are told apart from its answers. */

/** It cannot be reached, or says that it cannot answer now; the message is a sentence for clients. */
export class AuthServerAway extends Error {
  override readonly name = 'AuthServerAway'
}

const patienceMs = 5_000

export interface AuthAnswer {
  /** Below 500, and not 429. */
  readonly status: number
  /** Undefined where the body is no JSON. */
  readonly json: unknown
}

/**
 * @param body sent by POST where one is given
 * @throws AuthServerAway
 */
export async function askAuthServer(url: string, path: string, body?: object): Promise<AuthAnswer> {
  const answer = await answerOf(`${url.replace(/\/+$/, '')}${path}`, body)
  if (answer.status < 500 && answer.status !== 429) return answer
  throw answersWith(answer.status)
}

export const answersWith = (status: number): AuthServerAway =>
  new AuthServerAway(`the auth server answers ${status}, so nobody can be verified: try again in a moment`)

async function answerOf(address: string, body: object | undefined): Promise<AuthAnswer> {
  try {
    const response = await fetch(address, {
      redirect: 'manual', // a token goes to no other server
      signal: AbortSignal.timeout(patienceMs),
      ...(body === undefined
        ? {}
        : { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    })
    return { status: response.status, json: jsonOf(await response.text()) }
  } catch (cause) {
    throw new AuthServerAway('the auth server does not answer, so nobody can be verified: try again in a moment', {
      cause,
    })
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
