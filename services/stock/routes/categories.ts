/** Categories over HTTP. */
import type { Kysely } from 'kysely'
import { z } from 'zod'
import { administrators, vendors } from '../../shared/auth/access.ts'
import { storableText } from '../../shared/database/text.ts'
import { HttpError } from '../../shared/http/http-error.ts'
import type { HttpServer } from '../../shared/http/server.ts'
import { addCategory, findCategory, listCategories, removeCategory, renameCategory } from '../catalogue.ts'
import type { StockTables } from '../schema.ts'
import { answer, answerOf, categoryJson, CategoryView, exampleCategory, nothing } from '../view.ts'

const tags = ['categories']
const config = { refuses: [404] } as const
/** They are of no vendor's alone. */
const changing = { for: administrators, refuses: [404] } as const
const body = z.object({ name: storableText.meta({ example: 'Kitchen' }) })
const params = z.object({ id: storableText.meta({ example: exampleCategory }) })
const One = answerOf(CategoryView)

/** More are no order any more. */
const most = 1_000

export function categoryRoutes(server: HttpServer, db: Kysely<StockTables>, now: () => number): void {
  server.post(
    '/category',
    {
      config: { for: vendors },
      schema: { operationId: 'add_category', tags, summary: 'Adds a category', body, response: { 201: One } },
    },
    async ({ body: { name } }, reply) =>
      reply.code(201).send(answer('Category created', categoryJson(await addCategory(db, name, now())))),
  )

  server.get(
    '/category',
    {
      schema: {
        operationId: 'list_categories',
        tags,
        summary: 'All categories',
        response: { 200: answerOf(z.array(CategoryView)) },
      },
    },
    async () => answer('Categories found', (await listCategories(db, most)).map(categoryJson)),
  )

  server.get(
    '/category/:id',
    { config, schema: { operationId: 'get_category', tags, summary: 'One category', params, response: { 200: One } } },
    async ({ params: { id } }) => answer('Category found', categoryJson(found(id, await findCategory(db, id)))),
  )

  server.put(
    '/category/:id',
    {
      config: changing,
      schema: {
        operationId: 'rename_category',
        tags,
        summary: 'Renames a category',
        params,
        body,
        response: { 200: One },
      },
    },
    async ({ params: { id }, body: { name } }) =>
      answer('Category updated', categoryJson(found(id, await renameCategory(db, id, name)))),
  )

  server.delete(
    '/category/:id',
    {
      config: changing,
      schema: {
        operationId: 'remove_category',
        tags,
        summary: 'Removes a category; its products stay',
        params,
        response: { 200: answerOf(nothing) },
      },
    },
    async ({ params: { id } }) => {
      found(id, await removeCategory(db, id, now()))
      return answer('Category deleted', null)
    },
  )
}

function found<Row>(id: string, category: Row | undefined): Row {
  if (category === undefined) throw new HttpError(404, `There is no category ${id}.`)
  return category
}
