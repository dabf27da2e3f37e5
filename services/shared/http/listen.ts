/** Opens the port of a server, and says clearly why that cannot be done. */
import type { AddressInfo } from 'node:net'
import type { HttpServer } from './server.ts'

export type ListenErrorCode = 'port_in_use' | 'port_forbidden' | 'no_such_address'

/** None of them goes away by trying again: a person has to act. */
export class ListenError extends Error {
  override readonly name = 'ListenError'
  readonly code: ListenErrorCode
  constructor(code: ListenErrorCode, message: string, cause: unknown) {
    super(message, { cause })
    this.code = code
  }
}

const codes: Readonly<Record<string, ListenErrorCode>> = {
  EADDRINUSE: 'port_in_use',
  EACCES: 'port_forbidden',
  EADDRNOTAVAIL: 'no_such_address',
  ENOTFOUND: 'no_such_address',
}

/**
 * Resolves with `http://host:port`, the port being the one really taken where 0 was asked for. `setting` names the variable
 * that chooses the port, for the error's advice.
 *
 * @throws ListenError
 */
export async function listen(server: HttpServer, host: string, port: number, setting?: string): Promise<string> {
  try {
    await server.listen({ host, port })
  } catch (error) {
    const code = codes[String((error as NodeJS.ErrnoException).code)]
    throw code === undefined ? error : new ListenError(code, sentence(code, host, port, setting), error)
  }
  return urlAt(host, (server.server.address() as AddressInfo).port)
}

/** Where what listens there is found from this machine. */
export const urlAt = (host: string, port: number): string => `http://${host.includes(':') ? `[${host}]` : host}:${port}`

function sentence(code: ListenErrorCode, host: string, port: number, setting: string | undefined): string {
  const other = setting === undefined ? 'choose another port' : `set ${setting} to another port`
  switch (code) {
    case 'port_in_use':
      return `port ${port} is in use: stop the other program or ${other}`
    case 'port_forbidden':
      return `port ${port} is not open to this user: ${other} above 1023`
    case 'no_such_address':
      return `this machine has no address ${host}: choose one that it has, such as 127.0.0.1`
  }
}
