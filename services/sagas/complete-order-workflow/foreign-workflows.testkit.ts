/** A workflow of somebody else's, by the name that our trigger starts: it waits to be told what becomes of it. */
import { ApplicationFailure, condition, defineSignal, setHandler } from '@temporalio/workflow'

export async function CompleteOrderWorkflow(request: { readonly order_id: string }): Promise<string | null> {
  let end: string | null = null
  setHandler(defineSignal<[string]>('end'), (how) => void (end = how))
  await condition(() => end !== null)
  if (end === 'nothing') return null // as the original's ends where it has failed
  if (end !== 'Order Completed') throw ApplicationFailure.nonRetryable(`order ${request.order_id} was not completed`)
  return end
}
