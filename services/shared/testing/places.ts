/** Fresh databases for tests, on either kind. */
import { freshDatabase } from '../../../tests/kit/parts.ts'
import { newFile } from './ask.ts'
import type { Place } from './running.ts'

export async function sqlitePlace(): Promise<Place> {
  return { target: { kind: 'sqlite', file: newFile('service') } }
}

export async function postgresPlace(): Promise<Place> {
  const database = await freshDatabase()
  return { target: { kind: 'postgres', url: database.url }, remove: () => database.drop() }
}
