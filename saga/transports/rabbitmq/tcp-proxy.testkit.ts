/** Stands between a client and a server, and breaks their connections in the ways that networks do. */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

export interface TcpProxy {
  /** The server's address, through here. */
  readonly url: string
  /** Ends every connection at once, on both sides. */
  cut(): void
  /** Lets nothing through any more on the connections that are there, and tells nobody. New ones work. */
  freeze(): void
  /** Takes new connections and says nothing on them; false lets the next ones through again. */
  mute(on: boolean): void
  close(): Promise<void>
}

export async function tcpProxy(target: string): Promise<TcpProxy> {
  const { hostname, port } = new URL(target)
  const sockets = new Set<Socket>()
  const keep = (socket: Socket): Socket => {
    sockets.add(socket)
    return socket.on('error', () => undefined).on('close', () => sockets.delete(socket))
  }
  let muted = false
  const server = createServer((near) => {
    if (muted) return void keep(near).resume()
    const far = connect({ host: hostname, port: Number(port), noDelay: true })
    keep(near).pipe(keep(far)).pipe(near)
    near.on('close', () => far.destroy())
    far.on('close', () => near.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const own = new URL(target)
  own.host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  const cut = (): void => sockets.forEach((socket) => socket.destroy())
  return {
    url: own.href,
    cut,
    freeze: () => sockets.forEach((socket) => socket.unpipe().pause()),
    mute: (on) => void (muted = on),
    async close() {
      cut()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
