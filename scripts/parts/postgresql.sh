# PostgreSQL from Debian. It refuses to run as root.

postgresql_account() { as_root && echo postgres || id -un; }

postgresql_installed() { postgresql_programs >/dev/null; }

postgresql_install() {
  install_debian postgresql 'initdb and postgres on the PATH, or point TEST_POSTGRES_URL at a server of your own'
}

postgresql_version() { "$(postgresql_programs)/postgres" --version | grep -oE '[0-9]+(\.[0-9]+)?' | head -n 1; }

postgresql_launch() {
  local bin data=$folder/data
  bin=$(postgresql_programs) || return 1
  [ -f "$data/PG_VERSION" ] ||
    as "$account" "$folder" "$bin/initdb" -D "$data" -U postgres -A trust -E UTF8 --no-locale >"$folder/server.log" 2>&1 ||
    return 1
  # No socket: its default folder may be missing, and one of ours may be longer than a socket's name can be.
  launch "$bin/postgres" -D "$data" -p "$port" -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=200
}

# A statement, not pg_isready: that one is also content with a server that refuses us.
postgresql_answers() {
  local bin
  bin=$(postgresql_programs) || return 1
  PGCONNECT_TIMEOUT=3 "$bin/psql" -X -q -t -h 127.0.0.1 -p "$port" -U postgres -w -d postgres -c 'select 1' >/dev/null 2>&1
}

postgresql_pid() { head -n 1 "$folder/data/postmaster.pid"; }

postgresql_stop_signal() { echo INT; } # "fast": TERM would wait until every client has left

# The folder that holds the server's programs; Debian keeps them off the PATH.
postgresql_programs() {
  local candidate
  for candidate in $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -rV) "$(dirname "$(command -v initdb || echo /)")"; do
    if [ -x "$candidate/initdb" ] && [ -x "$candidate/postgres" ]; then echo "$candidate" && return; fi
  done
  return 1
}
