/** Reads rows with the drivers themselves, so that an audit does not depend on the code that wrote them. */
import { join } from 'node:path'
import Libsql from 'libsql'
import pg from 'pg'
import type { DatabaseTarget } from '../../services/shared/database/database.ts'

/** Where all services of one system keep their data: a folder of files, or a PostgreSQL server; sagas perhaps in Redis. */
export type Place = (
  { readonly kind: 'sqlite'; readonly folder: string } | { readonly kind: 'postgres'; readonly url: string }
) & { readonly redisUrl?: string | undefined }

export interface Tables {
  readonly kind: Place['kind']
  rows<Row>(text: string): Promise<readonly Row[]>
  close(): Promise<void>
}

export type Service = 'create-order-saga' | 'complete-order-saga' | 'user' | 'order' | 'payment' | 'timer'

/** The database of one service, as `services/app/system.ts` names it where all run in one process. */
export function targetOf(place: Place, service: Service): DatabaseTarget {
  if (place.kind === 'sqlite') return { kind: 'sqlite', file: join(place.folder, `${service}.db`) }
  const url = new URL(place.url)
  url.pathname = `/${service.replaceAll('-', '_')}_db`
  return { kind: 'postgres', url: url.href }
}

export async function openTables(target: DatabaseTarget): Promise<Tables> {
  if (target.kind === 'sqlite') {
    const database = new Libsql(target.file, { fileMustExist: true })
    return {
      kind: 'sqlite',
      rows: async <Row>(text: string) => {
        const statement = database.prepare(text)
        if (statement.reader) return statement.all() as Row[]
        statement.run()
        return []
      },
      close: async () => void database.close(),
    }
  }
  const client = new pg.Client({ connectionString: target.url, types: { getTypeParser } })
  client.on('error', () => undefined)
  await client.connect()
  return {
    kind: 'postgres',
    rows: async <Row>(text: string) => (await client.query(text)).rows as Row[],
    close: () => client.end(),
  }
}

const int8 = 20

/** Sequence numbers, cents and Unix milliseconds fit a number. */
const getTypeParser = (oid: number, format?: 'text' | 'binary'): ((value: string) => unknown) =>
  oid === int8 ? Number : (pg.types.getTypeParser(oid, format) as (value: string) => unknown)
