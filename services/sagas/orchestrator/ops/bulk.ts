/**
 * The same for all sagas that a filter finds, page by page: a request looks at so many, and says where the next goes on. Each
 * saga keeps its own record of who, when, what and why.
 */
import { HttpError } from '../../../shared/http/http-error.ts'
import type { Ops } from './ops.ts'
import { act, requestOf, type AskedFor } from '../acting.ts'
import { Asked, Many, ManyDone, ManyPreviews, opsRoute, tags, toFilter } from './schemas.ts'

/** Sagas that are acted on at once: their moves share commits. */
const atOnce = 50

export function addOpsBulk(ops: Ops): void {
  const { server, engine, ask, view } = ops
  const body = Asked.extend(Many.shape)
  server.post(
    '/ops/preview',
    {
      ...opsRoute(),
      schema: {
        operationId: 'ops_preview_actions',
        tags,
        summary: 'What an action would do to each saga that a filter finds; changes nothing',
        body,
        response: { 200: ManyPreviews },
      },
    },
    async ({ body: { filter, limit, after, action, by, reason } }) => {
      const total = await ask(() => engine.count(toFilter(filter)))
      const page = await ask(() => engine.list(toFilter(filter), { limit, after }))
      const results = await inPortions(page.items, async ({ id, state }) => {
        const preview = await tried(
          () => ask(() => engine.preview(id, requestOf(action), by, reason)),
          (refused) => ({ accepted: false, reason: refused, events: [], state, plan: nothing }),
        )
        return { id, ...view.preview(preview) }
      })
      return { results, total, next: page.next }
    },
  )
  server.post(
    '/ops/actions',
    {
      ...opsRoute(),
      schema: {
        operationId: 'ops_act_on_many',
        tags,
        summary: 'Does it to each saga that a filter finds',
        description:
          'Those that refuse it, and those that went meanwhile, are named with the reason; the others go on.',
        body,
        response: { 200: ManyDone },
      },
    },
    async ({ body: { filter, limit, after, ...asked } }) => {
      const page = await ask(() => engine.list(toFilter(filter), { limit, after }))
      const results = await inPortions(page.items, ({ id }) => acted(ops, id, asked))
      return { results, next: page.next }
    },
  )
}

/** Of a saga that this process cannot look into. */
const nothing = { outstanding: [], ahead: [], undo: [], wakeUps: [] }

const acted = (ops: Ops, id: string, asked: AskedFor) =>
  tried(
    async () => {
      const { accepted, refused, saga } = await act(ops, id, asked)
      return { id, accepted, refused, status: saga.state.status }
    },
    (refused) => ({ id, accepted: false, refused, status: null }),
  )

/** One that cannot be acted on keeps no other from it. */
async function tried<Done, Refused>(work: () => Promise<Done>, refused: (why: string) => Refused) {
  try {
    return await work()
  } catch (error) {
    if (error instanceof HttpError) return refused(error.message)
    throw error
  }
}

async function inPortions<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  for (let from = 0; from < items.length; from += atOnce)
    results.push(...(await Promise.all(items.slice(from, from + atOnce).map(work))))
  return results
}
