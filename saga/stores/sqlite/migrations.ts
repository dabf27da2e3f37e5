/** The schema's versions, in order; `pragma user_version` counts those that a file has. Never change one, add one. */
export const migrations: readonly string[] = [
  // Tables with a rowid: a move rewrites its row in place and appends to the history, which moves few pages to the log.
  // Indexed columns are those that a move does not change, but for `live` and `status`: lists by status must be true at once.
  // `definition` is in an index only so that a list by it does not read the rows that it leaves out.
  `create table saga (
     id text primary key,
     definition text not null,
     version integer not null,
     seq integer not null,
     state text not null,
     owner text not null,
     key text unique,
     fingerprint text not null,
     business_key text,
     created_at integer not null,
     updated_at integer not null,
     status text not null,
     live integer not null
   );
   create index saga_live on saga (owner) where live = 1;
   create index saga_newest on saga (created_at, id, definition);
   create index saga_status on saga (status, created_at, id);
   create index saga_business on saga (business_key, created_at, id) where business_key is not null;
   create table saga_history (
     saga_id text not null,
     seq integer not null,
     at integer not null,
     input_id text not null,
     events text not null,
     primary key (saga_id, seq)
   );`,
  // The state moves to the history, where it is appended now and then instead of rewritten with each move (`rows.ts`).
  `alter table saga add column state_seq integer not null default 0;
   update saga set state_seq = seq;
   alter table saga_history add column state text;
   update saga_history set state = (select s.state from saga s where s.id = saga_id and s.seq = saga_history.seq);
   alter table saga drop column state;`,
  `create table saga_store (identity text not null);
   insert into saga_store values (lower(hex(randomblob(16))));
   create table saga_definition (
     definition text not null,
     version integer not null,
     structure text not null,
     cancellable integer not null,
     primary key (definition, version)
   );
   create table saga_handed (
     place integer primary key autoincrement,
     saga_id text not null,
     input_id text not null,
     input text not null,
     unique (saga_id, input_id)
   );`,
  // A move's place among those of all sagas: numbers that are never used again (autoincrement) and that a vacuum leaves alone.
  // Moves of one saga were appended in their order, so that their rowids rise.
  `create table saga_moves (
     place integer primary key autoincrement,
     saga_id text not null,
     seq integer not null,
     at integer not null,
     input_id text not null,
     events text not null,
     status text,
     state text,
     unique (saga_id, seq)
   );
   insert into saga_moves (saga_id, seq, at, input_id, events, state)
     select saga_id, seq, at, input_id, events, state from saga_history order by rowid;
   drop table saga_history;
   alter table saga_moves rename to saga_history;`,
  // Written to see whether it can be.
  `create table saga_readiness (id integer primary key, checks integer not null);
   insert into saga_readiness values (1, 0);`,
  // When the row was written last, by the store's clock, and how far that had come: what `prune` goes by.
  `alter table saga add column stored_at integer not null default 0;
   create table saga_clock (id integer primary key, at integer not null);`,
]
