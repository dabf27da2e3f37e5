/**
 * A worker in a process of its own, which may be killed: `address taskQueue bundle [silent...]`, where the bundle of workflows is a file. It prints `ready`, and each command's
 * id once it has taken effect; the types named as silent then never answer.
 */
import { order, patient } from '../host-sagas.testkit.ts'
import { activitiesSaying, startWorker } from './temporal.testkit.ts'

const [address = '', taskQueue = '', codePath = '', ...silent] = process.argv.slice(2)
const say = (line: string): void => void process.stdout.write(`${line}\n`)

const activities = activitiesSaying([order, patient], ({ id, type }) => {
  say(`did ${id}`)
  if (silent.includes(type)) return 'never'
  return { type: `${type}.done`, payload: { ref: `${type}-1` } }
})
await startWorker({ address, taskQueue }, activities, { workflowBundle: { codePath } })
say('ready')
