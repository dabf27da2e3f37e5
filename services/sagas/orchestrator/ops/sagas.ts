/** Sagas under `/ops`: lists and counts by filter, one with its remaining plan, its history and the record of who did what. */
import type { Structure } from 'ordersaga/core'
import type { Plan } from 'ordersaga/engine'
import { EngineError } from 'ordersaga/engine/errors'
import type { StoredSaga } from 'ordersaga/store'
import { z } from 'zod'
import { AfterMove, Page, Status, statuses } from '../reads.ts'
import { found, SagaId } from '../shell.ts'
import type { Ops } from './ops.ts'
import { AuditView, Damaged, Detail, Filter, MoveView, opsRoute, Summary, tags, toFilter } from './schemas.ts'
import { auditOf, detailOf, summaryOf } from './view.ts'

export function addOpsSagas(ops: Ops): void {
  addList(ops)
  addCounts(ops)
  addOne(ops)
  addHistory(ops)
  addAudit(ops)
}

function addList({ server, engine, ask }: Ops): void {
  server.get(
    '/ops/sagas',
    {
      ...opsRoute(),
      schema: {
        operationId: 'ops_list_sagas',
        tags,
        summary: 'Sagas by filter, newest first',
        description: 'At most 100 unless a limit is given; `next` is the `after` of the next page.',
        querystring: Filter.extend(Page),
        response: {
          200: z.object({
            items: z.array(Summary),
            damaged: z.array(Damaged),
            next: z.string().nullable(),
          }),
        },
      },
    },
    async ({ query: { limit, after, ...filter } }) => {
      const { items, damaged, next } = await ask(() => engine.list(toFilter(filter), { limit, after }))
      return {
        items: items.map(summaryOf),
        damaged: damaged.map(({ id, problem }) => ({ id, problem: problem.message })),
        next,
      }
    },
  )
}

const Counts = z.object({
  counts: z
    .record(Status, z.int())
    .meta({ example: Object.fromEntries(statuses.map((status) => [status, status === 'COMPLETED' ? 1 : 0])) }),
  total: z.int().meta({ example: 1 }),
})

function addCounts({ server, engine, ask }: Ops): void {
  server.get(
    '/ops/counts',
    {
      ...opsRoute(),
      schema: {
        operationId: 'ops_count_sagas',
        tags,
        summary: 'How many sagas there are in each status',
        querystring: Filter.omit({ status: true }),
        response: { 200: Counts },
      },
    },
    async ({ query }) => {
      const filter = toFilter(query)
      const counted = await ask(() =>
        Promise.all(statuses.map(async (status) => [status, await engine.count({ ...filter, status })] as const)),
      )
      return {
        counts: Object.fromEntries(counted) as Record<(typeof statuses)[number], number>,
        total: counted.reduce((sum, [, count]) => sum + count, 0),
      }
    },
  )
}

function addOne(ops: Ops): void {
  ops.server.get(
    '/ops/sagas/:saga_id',
    {
      ...opsRoute(404),
      schema: {
        operationId: 'ops_get_saga',
        tags,
        summary: 'One saga with its steps and its remaining plan',
        params: SagaId,
        response: { 200: Detail },
      },
    },
    async ({ params }) => {
      const saga = await ops.ask(() => found(ops.engine, params.saga_id))
      return detailOf(saga, await stepsOf(ops, saga), await planOf(ops, saga.id))
    },
  )
}

/** The names of its steps in their order, as the structure that is kept of its version has them. */
async function stepsOf({ store, ask }: Ops, { definition, version }: StoredSaga): Promise<readonly string[]> {
  const known = (await ask(() => store.definitions())).find(
    (each) => each.definition === definition && each.version === version,
  )
  return known === undefined ? [] : (JSON.parse(known.structure) as Structure).steps.map(({ name }) => name)
}

async function planOf({ engine }: Ops, sagaId: string): Promise<Plan | null> {
  try {
    return await engine.plan(sagaId)
  } catch (error) {
    if (error instanceof EngineError && error.code === 'unknown_definition') return null
    throw error
  }
}

function addHistory({ server, engine, ask, view }: Ops): void {
  server.get(
    '/ops/sagas/:saga_id/history',
    {
      ...opsRoute(404),
      schema: {
        operationId: 'ops_get_history',
        tags,
        summary: 'Every move of a saga, oldest first',
        description: 'At most 1000; `next` is the `after` of those that follow.',
        params: SagaId,
        querystring: z.object({ after: AfterMove }),
        response: { 200: z.object({ items: z.array(MoveView), next: z.int().nullable().meta({ example: null }) }) },
      },
    },
    async ({ params, query }) => {
      const saga = await ask(() => found(engine, params.saga_id))
      const history = await ask(() => engine.history(saga.id, query.after))
      const last = history.at(-1)?.seq ?? saga.seq
      return { items: history.map(view.move), next: last < saga.seq ? last : null }
    },
  )
}

function addAudit({ server, engine, ask }: Ops): void {
  server.get(
    '/ops/sagas/:saga_id/audit',
    {
      ...opsRoute(404),
      schema: {
        operationId: 'ops_get_audit',
        tags,
        summary: 'Who asked what of a saga, when and why, and what became of it; from its history',
        params: SagaId,
        response: { 200: z.object({ items: z.array(AuditView) }) },
      },
    },
    async ({ params }) => {
      const { id, seq } = await ask(() => found(engine, params.saga_id))
      const items: z.infer<typeof AuditView>[] = []
      for (let after = 0; after < seq;) {
        const entries = await ask(() => engine.history(id, after))
        items.push(...entries.map(auditOf).filter((record) => record !== null))
        after = entries.at(-1)?.seq ?? seq
      }
      return { items }
    },
  )
}
