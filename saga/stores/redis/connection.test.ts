import { createServer } from 'node:net'
import { expect, test } from 'vitest'
import { redisStore } from './redis-store.ts'

test('a server that refuses a connection for what no saga can help is unavailable, and the store says why', async () => {
  const server = createServer((socket) => {
    socket.on('data', (sent: Buffer) => {
      const commands = sent.toString().match(/^\*\d+\r$/gm) ?? []
      socket.write('-ERR max number of clients reached\r\n'.repeat(commands.length))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  const store = redisStore({ url: `redis://127.0.0.1:${port}` })
  try {
    await expect(store.open()).rejects.toMatchObject({
      name: 'StoreError',
      code: 'unavailable',
      message: `Redis at 127.0.0.1:${port} cannot do it now: ERR max number of clients reached`,
    })
  } finally {
    await store.close()
    server.close()
  }
})
