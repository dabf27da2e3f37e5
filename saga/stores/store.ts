/**
 * Where sagas are kept.
 *
 * Invariants that every store holds (`store.contract.ts`):
 * - `seq` is the truth: a move is written only where the stored `seq` is the one it was decided on; else it is stale;
 * - a move is one update of the saga's row and one or more appended history rows, all or nothing, durable on return;
 * - a start with a used id or a used key changes nothing and names the saga that holds it;
 * - items of one batch do not hurt each other, unless the database refuses the batch as a whole (then it throws and
 *   nothing, or with a broken connection an unknown part, was written);
 * - reads come from the same rows: lists, counts and details are true at once;
 * - a saga whose rows do not fit together any more is told apart from the others, and hurts none of them.
 */
import type { Input } from '../core/decide.ts'
import type { Event } from '../core/events.ts'
import type { SagaState, SagaStatus } from '../core/state.ts'

/** A saga as it is kept. */
export interface StoredSaga {
  readonly id: string
  readonly definition: string
  readonly version: number
  /** Counts moves: 1 after the start. */
  readonly seq: number
  readonly state: SagaState
  /** The process that moved it last (a hint, not a lock). */
  readonly owner: string
  /** Idempotency key of the start, null where none was given. */
  readonly key: string | null
  /** Fingerprint of the start's body, to tell a repeat from another request under the same key; empty without a key. */
  readonly fingerprint: string
  /** What the business calls it (an order id, a customer id), for lists. */
  readonly businessKey: string | null
  /** Unix milliseconds. */
  readonly createdAt: number
  readonly updatedAt: number
}

/** One move in the history of a saga. */
export interface HistoryEntry {
  readonly sagaId: string
  /** The saga's `seq` after this move. */
  readonly seq: number
  /** Unix milliseconds, as decided. */
  readonly at: number
  /** What caused the move: the id of the message, request or wake-up. */
  readonly inputId: string
  readonly events: readonly Event[]
  /** The saga's status after this move. */
  readonly status: SagaStatus
}

/** A move among those of all sagas, with what its saga is found by: its business key is the one that it has by now. */
export interface StoredMove extends HistoryEntry, DefinitionVersion {
  readonly businessKey: string | null
}

export interface Start {
  readonly saga: StoredSaga
  readonly entry: HistoryEntry
  /** Has a next cause: a wake-up or an outstanding command. */
  readonly live: boolean
}

export interface Move {
  readonly id: string
  /** The `seq` that the move was decided on. */
  readonly fromSeq: number
  readonly toSeq: number
  /** What folding the entries gives: a store may keep them instead, and fold them when it reads. */
  readonly state: SagaState
  readonly businessKey: string | null
  readonly owner: string
  readonly live: boolean
  readonly updatedAt: number
  /** In order, for `fromSeq + 1` to `toSeq`. */
  readonly entries: readonly HistoryEntry[]
}

export type StartResult =
  | { readonly kind: 'started' }
  /** The id or the key is taken, by this saga. */
  | ({ readonly kind: 'exists' } & KeyHolder)

/** A saga that was started under an idempotency key. */
export interface KeyHolder {
  readonly id: string
  readonly fingerprint: string
}

/** Results in the order of the batch. */
export interface CommitResult {
  readonly starts: readonly StartResult[]
  readonly moves: readonly ('moved' | 'stale')[]
}

export interface SagaFilter {
  readonly definition?: string | undefined
  readonly status?: SagaStatus | undefined
  readonly businessKey?: string | undefined
  /** Unix milliseconds, inclusive. */
  readonly createdFrom?: number | undefined
  /** Unix milliseconds, exclusive. */
  readonly createdBefore?: number | undefined
}

/** A page by key, newest first (`createdAt`, then `id`, both descending). */
export interface PageRequest {
  /** 1 to 1,000; 100 where none is given. */
  readonly limit?: number | undefined
  /** The `next` of the page before. */
  readonly after?: string | undefined
}

/** A saga that was read and cannot be made out: rows are missing, or hold what this version did not write. */
export interface DamagedSaga {
  readonly id: string
  /** What is wrong, and what to do. */
  readonly problem: StoreError
}

export interface Found {
  readonly sagas: readonly StoredSaga[]
  readonly damaged: readonly DamagedSaga[]
}

export interface SagaPage {
  readonly items: readonly StoredSaga[]
  /** Not among the items, but counted for the page's limit. */
  readonly damaged: readonly DamagedSaga[]
  /** Where the next page starts; null on the last. */
  readonly next: string | null
}

export interface MovePage {
  readonly moves: readonly StoredMove[]
  /** Sagas of moves that were to be among them and cannot be made out. They are passed over, and keep nobody from going on. */
  readonly damaged: readonly DamagedSaga[]
  /** Where to go on. Only at the end it is the position that was given: a page of nothing but damaged moves is empty, too. */
  readonly next: string
}

/** A definition in one of its versions: what a saga runs under, from its start to its end. */
export interface DefinitionVersion {
  readonly definition: string
  readonly version: number
}

/** A definition's structure (`core/definition.ts`) as text, under its version. */
export interface KnownDefinition extends DefinitionVersion {
  readonly structure: string
  /** Its completed sagas can still move (be cancelled, follow an event), so that they too need this structure. */
  readonly cancellable: boolean
}

/** Another structure is kept under a version that is still needed. */
export interface StructureConflict extends DefinitionVersion {
  /** What is kept. */
  readonly structure: string
  /** Sagas of the version that are live or parked, or completed where the structure that is kept, or the new one, lets those move. */
  readonly sagas: number
  /** Other processes that say that they live and run the version. */
  readonly processes: number
}

/** An input that came to a process which does not run its saga, kept for one that does. */
export interface HandedInput {
  readonly sagaId: string
  /** Kept once for each saga and input id. */
  readonly inputId: string
  readonly input: Input
}

export interface StoreWatcher {
  /** These sagas may have been moved by another process. */
  moved(sagaIds: readonly string[]): void
  /** There may be live sagas that nobody owns, or inputs handed over. */
  waiting(): void
}

export interface Store {
  /** Tells this store from all others, the same for every process that shares it: lower-case letters and digits, at most 32. */
  identity(): Promise<string>
  /**
   * Keeps the structure of each definition under its version, and says that `owner` lives and runs them. Another structure
   * takes the place of a kept one only where no saga of the version and no other process needs that one any more; else it
   * is returned as a conflict and nothing is kept of that definition. Two processes that register at once exclude each other.
   */
  register(
    owner: string,
    definitions: readonly KnownDefinition[],
    silentMs: number,
  ): Promise<readonly StructureConflict[]>
  /** The structures that are kept. */
  definitions(): Promise<readonly KnownDefinition[]>
  /** Keeps inputs of sagas that exist (those of others are dropped), durable on return, and hints at them to other processes. */
  hand(inputs: readonly HandedInput[]): Promise<void>
  /** Kept inputs of sagas of these versions, in the order of their coming, at most `limit`. They stay until dropped, or until their saga is removed. */
  handed(versions: readonly DefinitionVersion[], limit: number): Promise<readonly HandedInput[]>
  /** Which of these inputs are still kept. */
  stillHanded(inputs: readonly Omit<HandedInput, 'input'>[]): Promise<readonly Omit<HandedInput, 'input'>[]>
  /** Removes kept inputs that were carried out. */
  dropHanded(inputs: readonly Omit<HandedInput, 'input'>[]): Promise<void>
  /** Set where a lock keeps every other process out: whoever owned sagas before is gone, and they are taken at once. */
  readonly exclusive?: true
  /**
   * Takes an exclusive store for one engine, and returns what gives it back; so does `close`. Other stores can be shared.
   *
   * @throws StoreError `locked` while another engine of this process has it
   */
  use?(owner: string): () => void
  /** Creates or upgrades what the store needs; safe with several processes starting at once. */
  open(): Promise<void>
  commit(batch: { readonly starts: readonly Start[]; readonly moves: readonly Move[] }): Promise<CommitResult>
  /**
   * Writes a start within the caller's own transaction: it is there once that commits, and owned by nobody (`owner` is
   * empty), so that any engine claims it; watchers hear `waiting` then. Absent where a store has no such transactions.
   *
   * @param tx what the store's own options and documentation say
   */
  commitIn?(tx: unknown, start: Start): Promise<StartResult>
  /** The saga that holds an idempotency key, with the fingerprint of its start; null where the key is free. */
  startedUnder(key: string): Promise<KeyHolder | null>
  /** Sagas by id; those that do not exist are left out. */
  load(ids: readonly string[]): Promise<Found>
  list(filter: SagaFilter, page?: PageRequest): Promise<SagaPage>
  count(filter: SagaFilter): Promise<number>
  /**
   * Moves with `seq > afterSeq`, oldest first, at most `limit` (1,000 where none is given). Each has the saga's status after
   * it, so that a page costs what it returns; only for moves that were written by a version which did not keep the status,
   * the saga's moves are read from the first.
   *
   * @throws StoreError `damaged`
   */
  history(sagaId: string, afterSeq?: number, limit?: number): Promise<readonly HistoryEntry[]>
  /**
   * Moves of all sagas in the order in which they became visible, after a position (from the first where it is null), at most
   * `limit` (1 to 1,000; 100 where none is given). Who keeps `next` and goes on from there, whenever and wherever, misses no
   * move and sees none twice, whatever is committed meanwhile; moves of sagas that were removed in between are left out.
   * The moves of one saga come by `seq`.
   *
   * @throws RangeError where the position was given by another store, or by this one before it was restored from a backup
   */
  moves(after: string | null, limit?: number): Promise<MovePage>
  /** Says that the owner is alive and runs these versions, on the store's own clock. */
  heartbeat(owner: string, runs: readonly DefinitionVersion[]): Promise<void>
  /** Removes the owner's heartbeat, so that others take its live sagas at once. */
  retire(owner: string): Promise<void>
  /**
   * Takes live sagas of these versions whose owner has not said that it is alive for `silentMs` (or never has): makes
   * `owner` their owner and returns them, at most `limit`; where they are fewer, that is enough until the next heartbeat.
   * Two processes that claim at once get different sagas. `seq` stays.
   * Damaged ones are taken, too: nobody else can run them either, and so each of their owners is told of them once.
   */
  claim(owner: string, silentMs: number, limit: number, versions: readonly DefinitionVersion[]): Promise<Found>
  /**
   * Live and parked sagas counted by definition and version, to check that each has its definition before the engine runs.
   * The counts are rough where sagas come, go or change hands meanwhile.
   */
  liveVersions(): Promise<readonly (DefinitionVersion & { readonly count: number })[]>
  /**
   * Removes ended sagas with their moves and the inputs kept for them, never live or parked ones, that were last stored
   * `retainMs` ago or longer, at most `limit`; returns how many.
   *
   * That goes by the store's own clock, whatever those of the processes say. One that has none but the machine's (SQLite) does
   * not believe in a jump ahead of more than a day.
   */
  prune(retainMs: number, limit: number): Promise<number>
  /** Hints at what others than the engine of this process have done; hints can be lost. */
  watch?(watcher: StoreWatcher): Promise<{ close(): Promise<void> }>
  /** True when it can read and write now, and has room for more; for readiness checks. */
  ready(): Promise<boolean>
  close(): Promise<void>
}

/** Why a store failed, and whether the same call may succeed later. */
export class StoreError extends Error {
  override readonly name = 'StoreError'
  /**
   * `unavailable`: no connection, or it broke (whether a commit took effect is then unknown; retry).
   * `unwritable`: nothing can be stored now (a full disk, a file that was removed), and nothing of this was; retry once that is mended.
   * `refused`: the database refused a row or statement; a batch can be split to find it.
   * `locked`: another process, or another engine of this one, holds an embedded store. `unusable`: wrong settings or a damaged or newer schema.
   * `damaged`: what is stored of one saga cannot be read; the others can.
   */
  readonly code: 'unavailable' | 'unwritable' | 'refused' | 'locked' | 'unusable' | 'damaged'
  constructor(code: StoreError['code'], message: string, cause?: unknown) {
    super(message, { cause })
    this.code = code
  }
}
