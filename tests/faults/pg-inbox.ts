/** A participant's inbox over plain `pg`: what somebody without our services would write. */
import type { Inbox, StoredReply } from 'ordersaga/inbox'
import type pg from 'pg'

/** Effects have no key: the same one twice is two rows, for the auditor to find. */
const tables = `
  create table if not exists inbox (command_id text primary key, kind text not null, type text not null, payload text not null);
  create table if not exists effect (saga_id text not null, step text not null, direction text not null)`

export async function createInbox(pool: pg.Pool): Promise<void> {
  const client = await pool.connect()
  try {
    // Two processes start at once; "if not exists" alone does not hold against that.
    await client.query(`select pg_advisory_lock(1)`)
    await client.query(tables)
    await client.query(`select pg_advisory_unlock(1)`)
  } finally {
    client.release()
  }
}

export function pgInbox(pool: pg.Pool): Inbox<pg.PoolClient> {
  return {
    async transaction(work) {
      const client = await pool.connect()
      try {
        await client.query('begin')
        const result = await work(client)
        await client.query('commit')
        client.release()
        return result
      } catch (error) {
        // Whatever became of the commit, what is not known is asked again; the connection is not used again.
        client.release(true)
        throw error
      }
    },
    async find(client, commandIds) {
      const { rows } = await client.query<{ command_id: string; kind: string; type: string; payload: string }>(
        'select * from inbox where command_id = any($1)',
        [commandIds],
      )
      return rows.map(({ command_id, kind, type, payload }) => ({
        commandId: command_id,
        kind: kind as StoredReply['kind'],
        type,
        payload: JSON.parse(payload) as unknown,
      }))
    },
    async save(client, replies) {
      await client.query('insert into inbox select * from unnest($1::text[], $2::text[], $3::text[], $4::text[])', [
        replies.map(({ commandId }) => commandId),
        replies.map(({ kind }) => kind),
        replies.map(({ type }) => type),
        replies.map(({ payload }) => JSON.stringify(payload ?? null)),
      ])
    },
  }
}
