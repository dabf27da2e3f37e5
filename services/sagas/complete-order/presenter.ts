/** Sagas as those who follow a delivery know them (docs/wire-contract.md 2.2). */
import type { Event } from 'ordersaga/events'
import type { StoredSaga } from 'ordersaga/store'
import { z } from 'zod'
import { exampleIds } from '../../shared/http/examples.ts'
import { UtcText, utcText } from '../../shared/time/utc.ts'
import type { Presenter } from '../orchestrator/presenter.ts'
import { Status } from '../orchestrator/reads.ts'
import { wordsOf } from '../orchestrator/step-words.ts'
import { CompleteOrderInput } from './saga.ts'

/** `currentStep` and the beginning of `error`, by step of the saga. */
const { currentStep, errorOf } = wordsOf({
  deliver: { name: 'UPDATE_ORDER_STATUS_TO_DELIVERED', failed: 'The order could not be set to DELIVERED' },
  runner: { name: 'GET_RUNNER_PAYMENT_INFO', failed: 'It is not known how the runner is paid' },
  release: { name: 'RELEASE_FUNDS', failed: 'The runner could not be paid' },
  complete: { name: 'UPDATE_ORDER_STATUS_TO_COMPLETED', failed: 'The order could not be set to COMPLETED' },
})

const SagaView = z.object({
  sagaId: z.string().meta({ example: exampleIds.saga }),
  orderId: z.string().meta({ example: exampleIds.order }),
  status: Status,
  currentStep: z
    .string()
    .nullable()
    .meta({ description: 'The step that is under way, or was last', example: 'RELEASE_FUNDS' }),
  updatedAt: UtcText,
  error: z
    .string()
    .optional()
    .meta({ description: 'Why it failed, where it did', example: 'The runner could not be paid: no account' }),
})

function viewOf({ id, state, updatedAt }: StoredSaga): z.infer<typeof SagaView> {
  const error = errorOf(state)
  return {
    sagaId: id,
    orderId: CompleteOrderInput.parse(state.input).order_id,
    status: state.status,
    currentStep: currentStep(state),
    updatedAt: utcText(updatedAt),
    ...(error === null ? {} : { error }),
  }
}

/** How a runner is paid is for the Payment Service alone. */
const secretSteps = ['runner']

export const completeOrderPresenter = {
  summary: SagaView,
  view: SagaView,
  summaryOf: viewOf,
  viewOf,
  eventView: (event: Event) => event,
  secretSteps,
} satisfies Presenter<z.infer<typeof SagaView>, z.infer<typeof SagaView>>
