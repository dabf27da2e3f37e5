import { obey, sagaActivities } from 'ordersaga/temporal/activities'
import { buy, giveBack, pay, reserve } from './saga.ts'

const ours = [
  obey(reserve, async (payload) => ({ done: payload })),
  obey(giveBack, async (payload) => ({ done: payload })),
]
export const activities = {
  ...sagaActivities({ definitions: [buy], functions: ours, foreign: [pay] }), // `pay` is called as theirs
  async charge_card(item: string): Promise<void> {
    console.log(`charged for ${item}`)
  },
}
