/** Products and categories as whoever sells them keeps them; how many there are is the business of `rows.ts`. */
import { randomBytes } from 'node:crypto'
import { sql, type Kysely } from 'kysely'
import type { CategoryRow, ProductRow, StockTables } from './schema.ts'

type Db = Kysely<StockTables>

export interface NewProduct {
  readonly name: string
  readonly priceCents: number
  readonly stock: number
  readonly vendorId: string
  readonly image: string
  readonly categoryId: string | null
  readonly description: string
}

/** 24 hex digits that begin with the time, as the clients of this API know ids. */
const newId = (now: number): string =>
  Math.floor(now / 1000)
    .toString(16)
    .padStart(8, '0') + randomBytes(8).toString('hex')

export function addProduct(db: Db, product: NewProduct, now: number): Promise<ProductRow> {
  return db
    .insertInto('products')
    .values({
      product_id: newId(now),
      name: product.name,
      price_cents: product.priceCents,
      stock: product.stock,
      initial_stock: product.stock,
      vendor_id: product.vendorId,
      image: product.image,
      category_id: product.categoryId,
      description: product.description,
      created_at: now,
      updated_at: now,
      removed_at: null,
    })
    .returningAll()
    .executeTakeFirstOrThrow()
}

export const findProduct = (db: Db, productId: string): Promise<ProductRow | undefined> =>
  db
    .selectFrom('products')
    .selectAll()
    .where('product_id', '=', productId)
    .where('removed_at', 'is', null)
    .executeTakeFirst()

export interface ProductFilter {
  /** In any letter case, since it is mostly an address. */
  readonly vendorId?: string
  readonly categoryId?: string
  /** A part of the name, in any letter case. */
  readonly named?: string
}

/** In the order of their ids, those after one. */
export function listProducts(
  db: Db,
  { vendorId, categoryId, named }: ProductFilter,
  after: string,
  limit: number,
): Promise<ProductRow[]> {
  return db
    .selectFrom('products')
    .selectAll()
    .where('removed_at', 'is', null)
    .where('product_id', '>', after)
    .$if(vendorId !== undefined, (query) => query.where(sql<boolean>`lower(vendor_id) = lower(${vendorId ?? ''})`))
    .$if(categoryId !== undefined, (query) => query.where('category_id', '=', categoryId ?? ''))
    .$if(named !== undefined, (query) =>
      query.where(sql<boolean>`lower(name) like lower(${`%${escaped(named ?? '')}%`}) escape '!'`),
    )
    .orderBy('product_id')
    .limit(limit)
    .execute()
}

const escaped = (text: string): string => text.replaceAll(/[!%_]/g, '!$&')

export type ProductChange = Partial<Pick<ProductRow, 'name' | 'price_cents' | 'image' | 'description'>>

/** @returns undefined where there is no such product */
export const changeProduct = (
  db: Db,
  productId: string,
  change: ProductChange,
  now: number,
): Promise<ProductRow | undefined> =>
  db
    .updateTable('products')
    .set({ ...change, updated_at: now })
    .where('product_id', '=', productId)
    .where('removed_at', 'is', null)
    .returningAll()
    .executeTakeFirst()

/** Not for sale any more; its row stays, since what was sold of it may come back. @returns undefined where there is none */
export const removeProduct = (db: Db, productId: string, now: number): Promise<ProductRow | undefined> =>
  db
    .updateTable('products')
    .set({ removed_at: now, updated_at: now })
    .where('product_id', '=', productId)
    .where('removed_at', 'is', null)
    .returningAll()
    .executeTakeFirst()

export const addCategory = (db: Db, name: string, now: number): Promise<CategoryRow> =>
  db
    .insertInto('categories')
    .values({ category_id: newId(now), name, created_at: now, removed_at: null })
    .returningAll()
    .executeTakeFirstOrThrow()

export const findCategory = (db: Db, categoryId: string): Promise<CategoryRow | undefined> =>
  db
    .selectFrom('categories')
    .selectAll()
    .where('category_id', '=', categoryId)
    .where('removed_at', 'is', null)
    .executeTakeFirst()

export const listCategories = (db: Db, limit: number): Promise<CategoryRow[]> =>
  db.selectFrom('categories').selectAll().where('removed_at', 'is', null).orderBy('category_id').limit(limit).execute()

export const renameCategory = (db: Db, categoryId: string, name: string): Promise<CategoryRow | undefined> =>
  db
    .updateTable('categories')
    .set({ name })
    .where('category_id', '=', categoryId)
    .where('removed_at', 'is', null)
    .returningAll()
    .executeTakeFirst()

export const removeCategory = (db: Db, categoryId: string, now: number): Promise<CategoryRow | undefined> =>
  db
    .updateTable('categories')
    .set({ removed_at: now })
    .where('category_id', '=', categoryId)
    .where('removed_at', 'is', null)
    .returningAll()
    .executeTakeFirst()
