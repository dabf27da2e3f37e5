import { fileURLToPath } from 'node:url'
import { Client, Connection } from '@temporalio/client'
import { NativeConnection, Worker } from '@temporalio/worker'
import { obey, sagaActivities } from 'ordersaga/temporal/activities'
import { temporalHost } from 'ordersaga/temporal/host'
import { buy, giveBack, pay, reserve } from './saga.ts'

const { TEMPORAL: address = 'localhost:7233', QUEUE: taskQueue = 'sagas' } = process.env

// Each command is an activity; repeated, it comes with the same id. `transport` in place of functions: participants elsewhere.
const functions = [
  obey(reserve, async (payload) => ({ done: payload })),
  obey(giveBack, async (payload) => ({ done: payload })),
  obey(pay, async ({ item }) => (item === 'milk' ? { done: { item } } : { rejected: 'card declined' })),
]
const workers = await NativeConnection.connect({ address })
const worker = await Worker.create({
  connection: workers,
  taskQueue,
  workflowsPath: fileURLToPath(new URL('./buy-workflows.js', import.meta.url)), // as it is on disk: compiled
  activities: sagaActivities({ definitions: [buy], functions }),
})
const running = worker.run()

const connection = await Connection.connect({ address })
const host = temporalHost({ client: new Client({ connection }), taskQueue, definitions: [buy] })
for (const item of ['milk', 'caviar']) {
  const { state } = await host.start(buy, { item })
  const ended = await host.result(state.id, { definition: buy })
  console.log(item, ended.status, ended.error?.reason)
}
// milk COMPLETED undefined
// caviar COMPENSATED card declined
await host.stop()
await connection.close()
worker.shutdown()
await running
await workers.close()
