import { sagaWorkflow } from 'ordersaga/temporal/workflow'
import { buy as definition } from './saga.ts'

// Loaded inside workflows, where nothing of Node is. The export's name is the workflow's type: the definition's name.
export const buy = sagaWorkflow(definition)
