/** The schema's versions, in order. Never change one, add one. `S` stands for the quoted schema name. */
export const migrations: readonly string[] = [
  // Texts are compared by bytes (collate "C"): ids sort as they were made, in every locale.
  // `state` and `events` are text, not jsonb: they are never looked into here, and jsonb refuses an escaped NUL.
  // Room is left in each page so that a move can stay in it (heap-only tuple): no index changes while a saga runs.
  // Indexes hold no more than they must, since each costs every start: the few that are as old are sorted when read.
  `create table S.saga (
     id text collate "C" primary key,
     definition text not null,
     version int not null,
     seq bigint not null,
     state text not null,
     owner text collate "C" not null,
     key text collate "C",
     fingerprint text not null,
     business_key text collate "C",
     created_at bigint not null,
     updated_at bigint not null,
     status text collate "C" not null,
     live boolean not null
   ) with (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 1);
   create unique index saga_key on S.saga (key) where key is not null;
   create index saga_live on S.saga (owner) where live;
   create index saga_newest on S.saga (created_at);
   create index saga_status on S.saga (status, created_at);
   create index saga_business on S.saga (business_key, created_at) where business_key is not null;
   create table S.saga_history (
     saga_id text collate "C" not null,
     seq bigint not null,
     at bigint not null,
     input_id text not null,
     events text not null,
     primary key (saga_id, seq)
   );
   create table S.saga_process (owner text collate "C" primary key, beat_at timestamptz not null);`,
  // The state moves to the history, where it is appended now and then instead of rewritten with each move (`rows.ts`).
  `alter table S.saga add column state_seq bigint not null default 0;
   update S.saga set state_seq = seq;
   alter table S.saga_history add column state text;
   update S.saga_history h set state = s.state from S.saga s where s.id = h.saga_id and s.seq = h.seq;
   alter table S.saga drop column state;`,
  // A process takes over what it has the definitions of, and does not look at the rest, however much that is.
  `create index saga_runs on S.saga (owner, definition collate "C", version) where live;
   drop index S.saga_live;`,
  // Older processes say that they live, and not what they run.
  `create table S.saga_store (identity text not null);
   insert into S.saga_store values (replace(gen_random_uuid()::text, '-', ''));
   create table S.saga_definition (
     definition text collate "C" not null,
     version int not null,
     structure text not null,
     cancellable boolean not null,
     primary key (definition, version)
   );
   create table S.saga_handed (
     place bigint generated always as identity primary key,
     saga_id text collate "C" not null,
     input_id text collate "C" not null,
     input text not null,
     unique (saga_id, input_id)
   );
   alter table S.saga_process add column runs text[] not null default '{}';`,
  // A move's transaction is its place among those of all sagas (`moves` in `statements.ts`). The index is of one growing number
  // that a whole batch shares, so that it costs a move little. Moves that are there have none, are first and go saga by saga.
  `alter table S.saga_store add column xact_base bigint not null default 0;
   alter table S.saga_history add column status text collate "C", add column xact bigint not null default 0;
   alter table S.saga_history alter column xact set default pg_current_xact_id()::text::bigint;
   create index saga_history_old on S.saga_history (saga_id, seq) where xact = 0;
   create index saga_history_xact on S.saga_history (xact) where xact > 0;`,
  // When the row was written last, by the server's clock: what `prune` goes by. Of older rows only their own times are known.
  `alter table S.saga add column stored_at bigint;
   alter table S.saga alter column stored_at set default (extract(epoch from clock_timestamp()) * 1000)::bigint;`,
]
