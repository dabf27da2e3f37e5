import { foreignSagaWorkflow } from 'ordersaga/temporal/workflow'
import { buy } from './saga.ts'

export const BuyWorkflow = foreignSagaWorkflow(buy, {
  input: (order) => order,
  result: () => 'bought',
  call: ({ type, payload }) => {
    if (type !== 'pay') return null // carried out by ours
    const { item } = payload as { readonly item: string } // as the contract of `pay` has it
    return { activity: 'charge_card', args: [item], hear: (said) => ('result' in said ? { done: { item } } : null) }
  },
})
