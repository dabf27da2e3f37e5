/** What the servers themselves have counted, and which orders have ended, by their own clients: nothing of us in between. */
import { Redis } from 'ioredis'
import { Kafka, logLevel } from 'kafkajs'
import pg from 'pg'
import { setTimeout as delay } from 'node:timers/promises'

/** Sees which of these sagas have ended. */
export interface Ends {
  of(ids: readonly string[]): Promise<readonly string[]>
  /** How often it has looked: each look is a transaction of its own. */
  looks(): number
  close(): Promise<void>
}

/** Where the orchestrator keeps its sagas. */
export interface SagaPlace {
  readonly postgres?: string | undefined
  readonly redis?: string | undefined
  /** What the keys of the store begin with there; those of Create Order where none is given. */
  readonly prefix?: string
}

export async function openEnds({ postgres, redis, prefix = 'ordersaga' }: SagaPlace): Promise<Ends> {
  return redis === undefined ? endsInPostgres(postgres ?? '') : endsInRedis(redis, prefix)
}

async function endsInPostgres(server: string): Promise<Ends> {
  const url = new URL(server)
  url.pathname = '/create_order_saga_db'
  // Prepared while the table is empty, the statement would scan it for ever after.
  const client = new pg.Client({ connectionString: url.href, options: '-c enable_seqscan=off' })
  await client.connect()
  let looks = 0
  return {
    looks: () => looks,
    async of(ids) {
      looks += 1
      const text = 'select id from ordersaga.saga where id = any($1) and not live'
      return (await client.query<{ id: string }>({ name: 'ends', text, values: [ids] })).rows.map(({ id }) => id)
    },
    close: () => client.end(),
  }
}

async function endsInRedis(url: string, prefix: string): Promise<Ends> {
  const client = new Redis(url)
  return {
    looks: () => 0,
    async of(ids) {
      const pipeline = client.pipeline()
      for (const id of ids) pipeline.hget(`${prefix}:saga:${id}`, 'live')
      const answers = (await pipeline.exec()) ?? []
      return ids.filter((_id, index) => answers[index]?.[1] === '0')
    },
    close: async () => void (await client.quit()),
  }
}

/** Records in all topics of ours. */
export async function kafkaRecords(brokers: string): Promise<number> {
  const admin = new Kafka({ brokers: brokers.split(','), clientId: 'bench', logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  try {
    const topics = (await admin.listTopics()).filter((topic) => !topic.startsWith('__'))
    const offsets = await Promise.all(topics.map((topic) => admin.fetchTopicOffsets(topic)))
    return offsets.flat().reduce((sum, { high }) => sum + Number(high), 0)
  } finally {
    await admin.disconnect()
  }
}

export interface PostgresCounts {
  /** Transactions, those that only read included. */
  readonly transactions: number
  /** Waits for the log to be on the disk: one may serve several transactions, and one that only reads needs none. */
  readonly syncs: number
}

export async function postgresCounts(url: string): Promise<PostgresCounts> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await delay(reportedMs)
    const { rows } = await client.query<Record<keyof PostgresCounts, string>>(
      `select (select sum(xact_commit) from pg_stat_database) as transactions, (select wal_sync from pg_stat_wal) as syncs`,
    )
    return { transactions: Number(rows[0]?.transactions), syncs: Number(rows[0]?.syncs) }
  } finally {
    await client.end()
  }
}

/** Backends report what they counted when they have been idle for a second, at the latest. */
const reportedMs = 2_000
