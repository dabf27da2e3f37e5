/** The moves of all sagas as one event stream, whichever process made them, from any place among them. */
import { z } from 'zod'
import { exampleIds } from '../../../shared/http/examples.ts'
import { HttpError } from '../../../shared/http/http-error.ts'
import type { Ops } from './ops.ts'
import { streamOf } from '../streams.ts'
import { Damaged, Filter, MoveView, opsRoute, Summary, tags } from './schemas.ts'

const Told = z.object({
  moves: z.array(
    MoveView.extend({
      sagaId: Summary.shape.id,
      definition: Summary.shape.definition,
      version: Summary.shape.version,
      key: Summary.shape.key,
    }),
  ),
  damaged: z.array(Damaged),
})

const Position = z
  .string()
  .min(1)
  .max(200)
  .optional()
  .meta({ example: `${exampleIds.message}:42` })

export function addOpsMoves({ server, engine, streams, store, ask, view }: Ops): void {
  server.get(
    '/ops/moves',
    {
      ...opsRoute(),
      exposeHeadRoute: false,
      schema: {
        operationId: 'ops_follow_moves',
        tags,
        summary: 'Follow the moves of all sagas as an event stream',
        description:
          'Each event holds moves in the order in which they became visible; its id is the position after them. Who comes back with the last id as `Last-Event-ID`, or as `after`, misses no move and sees none twice. Without one it begins with the oldest move that is kept. `definition` leaves out the moves of others.',
        querystring: z.object({ after: Position, definition: Filter.shape.definition }),
        headers: z.object({ 'last-event-id': Position }),
        response: { 200: streamOf(Told) },
      },
    },
    async (request, reply) => {
      const { definition } = request.query
      const after = request.headers['last-event-id'] ?? request.query.after ?? null
      // A position of another store is refused before the stream has begun.
      if (after !== null) await ask(() => checked(store.moves(after, 1)))
      await streams.run(reply, async ({ send, signal }) => {
        for await (const { moves, damaged, next } of engine.moves(after, signal)) {
          const shown = moves.filter((move) => definition === undefined || move.definition === definition)
          if (shown.length > 0 || damaged.length > 0)
            await send(next, {
              moves: shown.map((move) => ({
                sagaId: move.sagaId,
                definition: move.definition,
                version: move.version,
                key: move.businessKey,
                ...view.move(move),
              })),
              damaged: damaged.map(({ id, problem }) => ({ id, problem: problem.message })),
            })
        }
      })
    },
  )
}

async function checked(reading: Promise<unknown>): Promise<void> {
  try {
    await reading
  } catch (error) {
    if (error instanceof RangeError) throw new HttpError(400, error.message)
    throw error
  }
}
