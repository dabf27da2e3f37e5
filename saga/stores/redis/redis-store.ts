/**
 * Keeps sagas in Redis: one script, one round trip and one write of the log for a whole batch. Any number of processes.
 *
 * What a commit acknowledges is on the server's disk: settings under which it would not be are refused. Beyond that the
 * server's machine is trusted as any single machine is: a failover to a replica loses what had not reached it.
 *
 * A commit is never sent twice unless the server has said that it ran nothing. Should it be repeated all the same, by a caller
 * that lost the answer, it does no harm: its moves are stale (`seq` has gone on), and its starts find themselves stored.
 */
import { randomUUID } from 'node:crypto'
import type { Redis } from 'ioredis'
import type { Input } from '../../core/decide.ts'
import { conflictOf, differing } from '../definitions.ts'
import { pass, readHint, waitingHint } from '../hints.ts'
import { jsonOf } from '../json.ts'
import { countIn, parsePosition, positionText } from '../moves.ts'
import { areStorable, isStorable, refuseOddDefinitions, refuseOddInputs, refuseOddNames } from '../names.ts'
import type { PageKey } from '../page.ts'
import { pageLimit, pageOf, parseKey } from '../page.ts'
import { versionKey } from '../processes.ts'
import { readRows } from '../reading.ts'
import { retryLater } from '../retry-later.ts'
import type {
  DefinitionVersion,
  Found,
  HandedInput,
  HistoryEntry,
  KeyHolder,
  KnownDefinition,
  MovePage,
  PageRequest,
  SagaFilter,
  SagaPage,
  StartResult,
  Store,
  StoreWatcher,
  StructureConflict,
} from '../store.ts'
import { StoreError } from '../store.ts'
import { Connection, describeError, maybeStored, runScript, startOrCheck } from './connection.ts'
import type { RedisStoreOptions } from './options.ts'
import { settingsOf } from './options.ts'
import * as processes from './process-scripts.ts'
import type { Answer, Batch, MoveAnswer, Row } from './rows.ts'
import { batchArguments, marked, moveRowOf, rangeOf, reading, readHistoryTexts, readMoveRows, rowOf } from './rows.ts'
import type { Script } from './script.ts'
import * as scripts from './scripts.ts'
import { checkRights, checkServer, checkVersion, upgrade } from './server.ts'

export type { RedisStoreOptions } from './options.ts'

export function redisStore(options: RedisStoreOptions): Store {
  return new RedisStore(options)
}

/** More than the server takes in one command. */
const mostArguments = 1_000_000

/** Sagas that are removed in one script, during which the server does nothing else. */
const mostPruned = 500

/** A connection that listens says nothing by itself: it is asked, so that a dead one is noticed. */
const askEveryMs = 10_000

/** A place among the live sagas, to go on from. */
type Place = readonly [owner: string, cursor: string]
const start: Place = ['', '0']
/** What was found on the way, and the place after it; the cursor is empty at the end. */
type Walk<Found> = readonly [...Place, readonly Found[]]

/** Most runs of a claim: with many sagas that only others can run it would take long, and goes on with the next instead. */
const mostRuns = 8

/** How often it is counted anew because others have registered meanwhile. */
const mostRegistrations = 10

type Tally = readonly [definition: string, version: string, count: number]

class RedisStore implements Store {
  readonly #options: RedisStoreOptions
  readonly #prefix: string
  /** Tells this process's hints from those of others. */
  readonly #self = randomUUID()
  #connection: Connection | null = null
  /** Where the last claim stopped: the next begins there, not again with what only others can run. */
  #claimedTo = start

  constructor(options: RedisStoreOptions) {
    this.#options = options
    this.#prefix = options.prefix ?? 'ordersaga'
  }

  async open(): Promise<void> {
    if (this.#connection !== null) return
    const settings = settingsOf(this.#options)
    const connection = new Connection(settings, async (client) => {
      await checkServer(client, settings, this.#options.acceptLoss ?? false)
      await checkVersion(client, this.#prefix)
      await checkRights(client, settings.url, this.#prefix)
    })
    try {
      await upgrade(await connection.ready(), this.#prefix)
      this.#connection = connection
    } catch (error) {
      await connection.close()
      throw describeError(error, settings.url, startOrCheck(settings))
    }
  }

  async identity(): Promise<string> {
    const key = `${this.#prefix}:identity`
    return this.#ask(async (client) => {
      await client.setnx(key, newIdentity())
      return (await client.get(key)) ?? ''
    })
  }

  async register(
    owner: string,
    definitions: readonly KnownDefinition[],
    silentMs: number,
  ): Promise<readonly StructureConflict[]> {
    refuseOddDefinitions(owner, definitions)
    /** Which no saga needs in another structure, as counted when `seen` had registered. */
    let free: ReadonlySet<string> = new Set()
    let seen = ''
    for (let tries = 0; tries < mostRegistrations; tries++) {
      const args = definitions.flatMap((each) => registration(each, free))
      type Differing = readonly [name: string, known: string, processes: number]
      const [count, changed] = await this.#run<readonly [count: string, readonly Differing[]]>(processes.register, [
        owner,
        String(silentMs),
        seen,
        ...args,
      ])
      const conflicts = await Promise.all(
        changed.map(async ([name, known, running]) => {
          const [kept = knownDefinition(name, known)] = differing(definitions, [knownDefinition(name, known)])
          return { name, conflict: conflictOf(kept, { sagas: await this.#needing(kept), processes: running }) }
        }),
      )
      free = new Set(conflicts.filter(({ conflict }) => conflict === null).map(({ name }) => name))
      if (free.size === 0) return conflicts.map(({ conflict }) => conflict).filter((conflict) => conflict !== null)
      seen = count
    }
    throw new StoreError(
      'unavailable',
      'Others register their definitions at the same time, again and again. Try again.',
    )
  }

  async definitions(): Promise<readonly KnownDefinition[]> {
    const known = await this.#ask((client) => client.hgetall(`${this.#prefix}:definitions`))
    return Object.entries(known).map(([name, text]) => knownDefinition(name, text))
  }

  async hand(inputs: readonly HandedInput[]): Promise<void> {
    refuseOddInputs(inputs)
    const args = inputs.flatMap(({ sagaId, inputId, input }) => [sagaId, inputId, jsonOf(sagaId, input)])
    await this.#run(processes.hand, [waitingHint(this.#self), ...args])
  }

  async handed(versions: readonly DefinitionVersion[], limit: number): Promise<readonly HandedInput[]> {
    type Texts = readonly [sagaId: string, inputId: string, text: string]
    const inputs = await this.#run<readonly Texts[]>(processes.handed, [String(limit), ...versions.map(versionKey)])
    return inputs.map(([sagaId, inputId, text]) => ({ sagaId, inputId, input: JSON.parse(text) as Input }))
  }

  async stillHanded<Key extends Omit<HandedInput, 'input'>>(inputs: readonly Key[]): Promise<readonly Key[]> {
    const sound = inputs.filter(areStorable)
    const digits = await this.#run<string>(processes.stillHanded, keysOf(sound))
    return sound.filter((_, index) => digits[index] === '1')
  }

  async dropHanded(inputs: readonly Omit<HandedInput, 'input'>[]): Promise<void> {
    await this.#run(processes.dropHanded, keysOf(inputs.filter(areStorable)))
  }

  async commit(batch: Batch): ReturnType<Store['commit']> {
    refuseOddNames(batch)
    const { starts, moves } = batch
    if (starts.length + moves.length === 0) return { starts: [], moves: [] }
    const args = batchArguments(this.#self, batch)
    if (args.length > mostArguments)
      throw new StoreError('refused', `A batch of ${starts.length + moves.length} sagas is too large: split it.`)
    type Results = readonly [starts: readonly (1 | readonly [id: string, fingerprint: string])[], moves: string]
    const [started, moved] = await this.#run<Results>(scripts.commit, args)
    return {
      starts: started.map((held): StartResult => (held === 1 ? { kind: 'started' } : existing(...held))),
      moves: Array.from(moved, (digit) => (digit === '1' ? 'moved' : 'stale')),
    }
  }

  async startedUnder(key: string): Promise<KeyHolder | null> {
    if (!isStorable(key)) return null
    return this.#ask(async (client) => {
      const id = await client.hget(`${this.#prefix}:keys`, marked(key))
      // It may be removed in between, and its key with it.
      const fingerprint = id === null ? null : await client.hget(`${this.#prefix}:saga:${id}`, 'fingerprint')
      return id === null || fingerprint === null ? null : { id, fingerprint }
    })
  }

  async load(ids: readonly string[]): Promise<Found> {
    const sound = ids.filter(isStorable)
    return readRows(
      reading,
      sound.length === 0 ? [] : (await this.#run<readonly Answer[]>(scripts.load, sound)).map(rowOf),
    )
  }

  async list(filter: SagaFilter, page: PageRequest = {}): Promise<SagaPage> {
    const limit = pageLimit(page.limit)
    const after = page.after === undefined ? null : parseKey(page.after)
    const rows: Row[] = []
    for await (const found of this.#find<readonly Answer[]>(filter, after, 'rows', limit + 1)) {
      rows.push(...found.map(rowOf))
      if (rows.length > limit) break
    }
    return pageOf(reading, rows, limit)
  }

  async count(filter: SagaFilter): Promise<number> {
    let total = 0
    for await (const found of this.#find<number>(filter, null, 'count', Number.MAX_SAFE_INTEGER)) total += found
    return total
  }

  async history(sagaId: string, afterSeq = 0, limit = 1000): Promise<readonly HistoryEntry[]> {
    if (!isStorable(sagaId)) return []
    const texts = await this.#ask((client) => client.lrange(this.#historyOf(sagaId), afterSeq, afterSeq + limit - 1))
    return readHistoryTexts(sagaId, texts, (upTo) => this.#earlier(upTo))
  }

  async moves(after: string | null, limit?: number): Promise<MovePage> {
    const from = after === null ? 0 : parsePosition(after).count
    type Found = readonly [identity: string, last: string, next: string, moves: readonly MoveAnswer[]]
    const args = [String(from), String(pageLimit(limit)), newIdentity()]
    const [identity, last, next, moves] = await this.#run<Found>(scripts.moves, args)
    countIn(after, identity, Number(last))
    const { entries, damaged } = await readMoveRows(moves.map(moveRowOf), (upTo) => this.#earlier(upTo))
    return { moves: entries, damaged, next: positionText(identity, next) }
  }

  async heartbeat(owner: string, runs: readonly DefinitionVersion[]): Promise<void> {
    await this.#run(processes.heartbeat, [owner, JSON.stringify(runs.map(versionKey))])
  }

  async retire(owner: string): Promise<void> {
    await this.#run(processes.retire, [owner, waitingHint(this.#self)])
  }

  async claim(owner: string, silentMs: number, limit: number, versions: readonly DefinitionVersion[]): Promise<Found> {
    const pairs = versions.map(versionKey)
    const rows: Row[] = []
    for (let runs = 0; runs < mostRuns && rows.length < limit; runs++) {
      const from = this.#claimedTo
      const args = [...from, owner, String(silentMs), String(limit - rows.length), ...pairs]
      const [heldBy, cursor, found] = await this.#run<Walk<Answer>>(scripts.claim, args)
      rows.push(...found.map(rowOf))
      this.#claimedTo = cursor === '' ? start : [heldBy, cursor]
      if (from === start && cursor === '') break
    }
    return readRows(reading, rows)
  }

  async liveVersions(): ReturnType<Store['liveVersions']> {
    const counts = new Map<string, DefinitionVersion & { readonly count: number }>()
    for await (const [definition, version, count] of this.#unfinished()) {
      const known = { definition, version: Number(version) }
      const before = counts.get(versionKey(known))?.count ?? 0
      counts.set(versionKey(known), { ...known, count: before + count })
    }
    return [...counts.values()]
  }

  async prune(retainMs: number, limit: number): Promise<number> {
    let removed = 0
    while (removed < limit) {
      const portion = Math.min(limit - removed, mostPruned)
      const args = [String(retainMs), String(portion)]
      const [gone, more] = await this.#run<readonly [number, number]>(scripts.prune, args)
      removed += gone
      if (more === 0) break
    }
    return removed
  }

  async watch(watcher: StoreWatcher): Promise<{ close(): Promise<void> }> {
    const hear = (_channel: string, payload: string): void => {
      const hint = readHint(payload)
      if (hint !== null) pass(hint, this.#self, watcher)
    }
    const connection = new Connection(settingsOf(this.#options), async (client) => {
      client.off('message', hear).on('message', hear) // the client is the same after a break
      await client.subscribe(`${this.#prefix}:moved`)
    })
    const asking = setInterval(() => {
      connection.ready().then(
        (client) => client.ping().catch(() => undefined),
        () => undefined,
      )
    }, askEveryMs)
    await connection.ready().catch(() => undefined) // it is tried again for as long as it takes
    return {
      async close() {
        clearInterval(asking)
        await connection.close()
      },
    }
  }

  async ready(): Promise<boolean> {
    if (this.#connection?.isReady !== true) return false
    return this.#run(scripts.probe, []).then(
      () => true,
      () => false,
    )
  }

  async close(): Promise<void> {
    const connection = this.#connection
    this.#connection = null
    await connection?.close()
  }

  #historyOf(sagaId: string): string {
    return `${this.#prefix}:history:${sagaId}`
  }

  #earlier(upTo: ReadonlyMap<string, number>): Promise<readonly (readonly [id: string, texts: readonly string[]])[]> {
    return this.#ask(async (client) => {
      const read = [...upTo].map(
        async ([id, seq]) => [id, await client.lrange(this.#historyOf(id), 0, seq - 1)] as const,
      )
      return (await Promise.all(read)).filter(([, texts]) => texts.length > 0)
    })
  }

  /** Live and parked sagas by version, in portions. */
  async *#unfinished(): AsyncGenerator<Tally, void, undefined> {
    for (let place = start; place[1] !== '';) {
      const [owner, cursor, tallies] = await this.#run<Walk<Tally>>(scripts.liveVersions, place)
      yield* tallies
      place = [owner, cursor]
    }
    yield* this.#settled('status:PARKED')
  }

  /** Those of an index from which nothing follows by itself. */
  async *#settled(index: string): AsyncGenerator<Tally, void, undefined> {
    for (let low = '-'; low !== '';) {
      const args = [index, low]
      const [next, tallies] = await this.#run<readonly [string, readonly Tally[]]>(scripts.settledVersions, args)
      yield* tallies
      low = next
    }
  }

  /** How many sagas need the structure that is kept. */
  async #needing(kept: KnownDefinition): Promise<number> {
    const indexes = [this.#unfinished()]
    if (kept.cancellable) indexes.push(this.#settled(`status-definition:COMPLETED:${kept.definition}`))
    let needing = 0
    for (const index of indexes)
      for await (const [definition, version, count] of index)
        if (definition === kept.definition && Number(version) === kept.version) needing += count
    return needing
  }

  /** What each run of the script finds; some need several. */
  async *#find<Found>(
    filter: SagaFilter,
    after: PageKey | null,
    what: 'rows' | 'count',
    limit: number,
  ): AsyncGenerator<Found, void, undefined> {
    const conditions = [filter.definition, filter.status, filter.businessKey]
    if (!conditions.every((text) => isStorable(text ?? null))) return
    const [first, low] = rangeOf(filter, after)
    for (let high = first; high !== '';) {
      const args = [...conditions.map(marked), high, low, String(limit), what]
      const [next, found] = await this.#run<readonly [next: string, found: Found]>(scripts.find, args)
      yield found
      high = next
    }
  }

  #run<Answer>(script: Script, args: readonly string[]): Promise<Answer> {
    return this.#ask((client) => runScript(client, script, [this.#prefix, ...args]) as Promise<Answer>)
  }

  async #ask<Answer>(question: (client: Redis) => Promise<Answer>): Promise<Answer> {
    if (this.#connection === null) throw new StoreError('unavailable', 'The Redis store is closed.')
    try {
      const client = await this.#connection.ready()
      return await question(client)
    } catch (error) {
      throw retryLater(describeError(error, new URL(this.#options.url), maybeStored))
    }
  }
}

const newIdentity = (): string => randomUUID().replaceAll('-', '')

const keysOf = (inputs: readonly Omit<HandedInput, 'input'>[]): string[] =>
  inputs.flatMap(({ sagaId, inputId }) => [sagaId, inputId])

/** What the register script takes of a definition. */
function registration(definition: KnownDefinition, free: ReadonlySet<string>): string[] {
  const name = versionKey(definition)
  return [name, definition.structure, definition.cancellable ? '1' : '0', free.has(name) ? '1' : '0']
}

function knownDefinition(name: string, text: string): KnownDefinition {
  const [version = '', ...definition] = name.split(':')
  return {
    definition: definition.join(':'),
    version: Number(version),
    structure: text.slice(1),
    cancellable: text.startsWith('1'),
  }
}

const existing = (id: string, fingerprint: string): StartResult => ({ kind: 'exists', id, fingerprint })
