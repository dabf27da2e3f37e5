/** What `/ops` takes and gives, as its OpenAPI page shows it. */
import { z } from 'zod'
import { exampleIds } from '../../../shared/http/examples.ts'
import { problems } from '../../../shared/http/problem.ts'
import { EventView } from '../presenter.ts'
import { Cause, Page, Status } from '../reads.ts'

const at = '2026-01-31T12:00:00.000Z'

const Time = z.string().meta({ format: 'date-time', example: at })
const Id = z.string().meta({ example: exampleIds.saga })
const StepName = z.string().meta({ example: 'authorise' })
const Who = z.string().min(1).max(100).meta({ description: 'Who does it; kept with the saga', example: 'jane' })
const Why = z
  .string()
  .min(1)
  .max(1000)
  .meta({ description: 'Why; kept with the saga', example: 'the gateway is mended' })

/** Of a route under `/ops`: its errors are problem details. @param refuses its own, beside those of any route */
export const opsRoute = (...refuses: readonly (404 | 409)[]) => ({ config: { errors: problems, refuses } })
export const tags = ['operator']

export const Filter = z.object({
  definition: z.string().max(200).optional().meta({ example: 'create-order' }),
  status: Status.optional().meta({ example: 'PARKED' }),
  key: z
    .string()
    .max(255)
    .optional()
    .meta({ description: 'The business key, such as a customer', example: exampleIds.customer }),
  from: z.iso.datetime({ offset: true }).optional().meta({ description: 'Started then or later', example: at }),
  before: z.iso.datetime({ offset: true }).optional().meta({ description: 'Started before then', example: at }),
})
export type Filter = z.infer<typeof Filter>

export const toFilter = ({ definition, status, key, from, before }: Filter) => ({
  definition,
  status,
  businessKey: key,
  createdFrom: from === undefined ? undefined : Date.parse(from),
  createdBefore: before === undefined ? undefined : Date.parse(before),
})

export const Summary = z.object({
  id: Id,
  definition: z.string().meta({ example: 'create-order' }),
  version: z.int().meta({ example: 1 }),
  status: Status,
  key: z.string().nullable().meta({ example: exampleIds.customer }),
  seq: z.int().meta({ description: 'Counts its moves', example: 12 }),
  waits: z.array(StepName).meta({ description: 'The steps that it waits for, or is parked at' }),
  reason: z
    .string()
    .nullable()
    .meta({ description: 'Why it is parked, failed or cancelled', example: 'no answer in time' }),
  startedAt: Time,
  updatedAt: Time,
})

const Step = z.object({
  step: StepName,
  phase: z.string().meta({ example: 'unknown' }),
  attempts: z.int().meta({ example: 5 }),
  firstAskedAt: Time,
  nextAt: Time.nullable(),
  why: z.string().nullable(),
})

export const PlanView = z
  .object({
    outstanding: z
      .array(
        z.object({
          id: z.string().meta({ example: `${exampleIds.saga}:authorise:do` }),
          step: StepName,
          direction: z.enum(['do', 'undo', 'query']),
          attempt: z.int().meta({ example: 1 }),
          participant: z.string().meta({ example: 'payment' }),
          type: z.string().meta({ example: 'authorize_payment' }),
        }),
      )
      .meta({ description: 'Commands whose answers it waits for' }),
    ahead: z.array(StepName).meta({ description: 'Steps that have not begun' }),
    undo: z
      .array(z.object({ step: StepName, command: z.string().meta({ example: 'cancel_order' }), certain: z.boolean() }))
      .meta({ description: 'What is left to undo, or would be undone if it turned back now; in that order' }),
    wakeUps: z
      .array(z.object({ at: Time, step: StepName.nullable(), why: z.string().meta({ example: 'to ask again' }) }))
      .meta({ description: 'When it is next woken, and why; the earliest first' }),
  })
  .meta({ description: 'What remains of the saga as it stands' })

export const Detail = Summary.extend({
  input: z.unknown().meta({ description: 'What it was started with', example: { customer_id: exampleIds.customer } }),
  cancel: z
    .object({
      by: z.string().meta({ example: 'jane' }),
      reason: z.string().meta({ example: 'the house burns' }),
      at: Time,
    })
    .nullable(),
  leftBehind: z.array(StepName).meta({ description: 'Steps that may have left an effect when it was given up' }),
  endedAt: Time.nullable(),
  owner: z.string().meta({ description: 'The process that moved it last', example: exampleIds.message }),
  steps: z.array(Step).meta({ description: 'Those that have begun' }),
  plan: PlanView.nullable().meta({ description: 'Null where its version is not registered in this process' }),
})

export const MoveView = z.object({
  seq: z.int().meta({ example: 3 }),
  at: Time,
  status: Status,
  cause: Cause,
  events: z.array(EventView),
})

export const AuditView = z.object({
  seq: z.int().meta({ example: 3 }),
  at: Time,
  what: z.string().meta({ example: 'retry' }),
  by: z.string().nullable().meta({ example: 'jane' }),
  why: z.string().nullable().meta({ example: 'the gateway is mended' }),
  accepted: z.boolean(),
  refused: z.string().nullable().meta({ description: 'Where it was refused: why' }),
})

const Action = z
  .discriminatedUnion('kind', [
    z.object({ kind: z.literal('retry') }),
    z.object({ kind: z.literal('skip') }),
    z.object({ kind: z.literal('giveUp') }),
    z.object({ kind: z.literal('resolve'), reply: z.unknown() }),
    z.object({ kind: z.literal('cancel') }),
  ])
  .meta({
    description:
      'retry: try again what it is parked for; skip: the operator made sure that the step has no effect; resolve: it was done, with this reply; giveUp: end it as FAILED; cancel: undo it',
    example: { kind: 'retry' },
  })
export const Asked = z.object({ action: Action, by: Who, reason: Why })

export const PreviewView = z.object({
  accepted: z.boolean(),
  refused: z.string().nullable().meta({ description: 'Where not accepted: why' }),
  events: z.array(EventView).meta({ description: 'What would be written to its history, in order' }),
  status: Status.meta({ description: 'Its status after it' }),
  plan: PlanView.meta({ description: 'What would remain then; what is outstanding there would be sent at once' }),
})

export const Done = z.object({
  status: Status.meta({ description: 'The status of the saga after it' }),
  seq: z.int().meta({ example: 3 }),
})

export const Many = z.object({
  filter: Filter,
  limit: z.int().min(1).max(500).default(100).meta({ description: 'Sagas that are looked at in one request' }),
  after: Page.after.describe('The `next` of the answer before'),
})

export const ManyDone = z.object({
  results: z.array(
    z.object({ id: Id, accepted: z.boolean(), refused: z.string().nullable(), status: Status.nullable() }),
  ),
  next: z.string().nullable().meta({ description: 'The `after` of the next request; null where nothing is left' }),
})

export const ManyPreviews = z.object({
  results: z.array(PreviewView.extend({ id: Id })),
  total: z.int().meta({ description: 'Sagas that the filter finds now', example: 1 }),
  next: z.string().nullable(),
})

export const DefinitionView = z.object({
  definition: z.string().meta({ example: 'create-order' }),
  version: z.int().meta({ example: 1 }),
  live: z.int().meta({ description: 'Sagas of it that are live or parked', example: 3 }),
  cancellable: z.boolean().meta({ description: 'Whether a completed saga can still be cancelled' }),
  structure: z
    .looseObject({ steps: z.array(z.looseObject({ name: StepName, stage: z.int().meta({ example: 2 }) })) })
    .meta({ description: 'Steps in their order, commands, pivot, undos, what follows events' }),
})

/** A saga whose rows cannot be read. */
export const Damaged = z.object({ id: Id, problem: z.string().meta({ example: 'its state is not JSON' }) })
