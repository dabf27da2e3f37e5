/** What the routes of every orchestrator stand on. */
import type { Engine } from 'ordersaga/engine'
import type { StoredSaga } from 'ordersaga/store'
import { z } from 'zod'
import { exampleIds } from '../../shared/http/examples.ts'
import { HttpError } from '../../shared/http/http-error.ts'
import type { HttpServer } from '../../shared/http/server.ts'
import type { Ask } from './asking.ts'
import type { Streams } from './streams.ts'

export interface Shell {
  readonly server: HttpServer
  readonly engine: Engine
  readonly ask: Ask
  readonly streams: Streams
}

export const SagaId = z.object({ saga_id: z.string().max(100).meta({ example: exampleIds.saga }) })

export async function found(engine: Engine, sagaId: string): Promise<StoredSaga> {
  const saga = await engine.get(sagaId)
  if (saga === null) throw new HttpError(404, `There is no saga ${sagaId}.`)
  return saga
}

/** @example operation('list_sagas', '/api') // one id for each of a route's paths */
export const operation = (name: string, prefix: string): string =>
  prefix === '' ? name : `${name}_${prefix.replaceAll(/\W+/g, '_').replace(/^_/, '')}`
