#!/usr/bin/env bash
# The real parts that the integration tests talk to, without a container engine: `services.sh start | stop | status`.
#
# Installs what is missing (Debian, as root), gives each part its own port and data folder, waits until it answers, and
# stops only what this checkout started. Starting twice is harmless. One line per part: name, version, port, folder, seconds.
# A part is one function that gets the verb; add it to `parts`.
#
#   ORDERSAGA_POSTGRES_PORT   PostgreSQL's port; 54329 unless said otherwise
#   ORDERSAGA_PARTS           where the data folders are; .parts/ of this checkout unless said otherwise
set -euo pipefail
export LC_ALL=C

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
folder_of_parts=${ORDERSAGA_PARTS:-$root/.parts}
# A checkout has its own folder in the fallback too, so that `stop` never reaches another checkout's servers.
fallback=/var/tmp/ordersaga-parts/$(printf '%s' "$root" | cksum | cut -d ' ' -f 1)
parts=(postgresql)

postgresql() {
  local verb=$1 port=${ORDERSAGA_POSTGRES_PORT:-54329} bin version account folder data
  if ! bin=$(postgresql_programs); then
    [ "$verb" = start ] || { line PostgreSQL '' "$port" '' 'not installed'; [ "$verb" = stop ]; return; }
    install_debian PostgreSQL postgresql 'initdb and pg_ctl on the PATH, or point TEST_POSTGRES_URL at a server of your own'
    bin=$(postgresql_programs) || fail 'PostgreSQL was installed, but initdb and pg_ctl are not to be found'
  fi
  version=$("$bin/postgres" --version | grep -oE '[0-9]+(\.[0-9]+)?' | head -n 1)
  account=$(as_root && echo postgres || id -un) # PostgreSQL refuses to run as root
  folder=$(owned_folder "postgresql-${version%%.*}" "$account") || exit 2
  data=$folder/data

  case $verb in
    start)
      if ! postgresql_answers; then
        [ -f "$data/PG_VERSION" ] || as "$account" "$folder" "$bin/initdb" -D "$data" -U postgres -A trust -E UTF8 --no-locale \
          >"$folder/initdb.log" 2>&1 || fail "PostgreSQL: initdb failed, see $folder/initdb.log"
        # No socket: its default folder may be missing, and one of ours may be longer than a socket's name can be.
        as "$account" "$folder" "$bin/pg_ctl" -D "$data" -l "$folder/server.log" -w -t 60 start \
          -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=200" >/dev/null 2>&1 || true
        postgresql_answers || fail "PostgreSQL does not answer on port $port: see $folder/server.log, or set ORDERSAGA_POSTGRES_PORT"
      fi
      line PostgreSQL "$version" "$port" "$(postgresql_is_ours && echo "$folder" || echo 'started elsewhere')" "$(elapsed) s"
      ;;
    stop)
      if postgresql_is_ours; then
        as "$account" "$folder" "$bin/pg_ctl" -D "$data" -m fast -w stop >/dev/null || fail "PostgreSQL did not stop: see $folder/server.log"
        line PostgreSQL "$version" "$port" "$folder" 'stopped'
      else
        line PostgreSQL "$version" "$port" "$folder" 'not started here'
      fi
      ;;
    status)
      if postgresql_answers; then
        line PostgreSQL "$version" "$port" "$(postgresql_is_ours && echo "$folder" || echo 'started elsewhere')" 'answers'
      else
        line PostgreSQL "$version" "$port" "$folder" 'does not answer'
        return 1
      fi
      ;;
  esac
}

# The folder that holds initdb and pg_ctl; Debian keeps them off the PATH.
postgresql_programs() {
  local candidate
  for candidate in $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -rV) "$(dirname "$(command -v initdb || echo /)")"; do
    if [ -x "$candidate/initdb" ] && [ -x "$candidate/pg_ctl" ]; then echo "$candidate" && return; fi
  done
  return 1
}

# A statement, not pg_isready: that one is also content with a server that refuses us.
postgresql_answers() {
  PGCONNECT_TIMEOUT=3 "$bin/psql" -X -q -t -h 127.0.0.1 -p "$port" -U postgres -w -d postgres -c 'select 1' >/dev/null 2>&1
}

postgresql_is_ours() { as "$account" "$folder" "$bin/pg_ctl" -D "$data" status >/dev/null 2>&1; }

# --- what every part needs ---

as_root() { [ "$(id -u)" = 0 ]; }

# Runs a command as an account, in a folder that the account can enter.
as() {
  local account=$1 folder=$2
  shift 2
  if [ "$account" = "$(id -un)" ]; then (cd "$folder" && "$@"); else (cd "$folder" && runuser -u "$account" -- "$@"); fi
}

# A folder among the parts where the account can reach it, else under /var/tmp.
owned_folder() {
  local name=$1 account=$2 folder
  for folder in "$folder_of_parts/$name" "$fallback/$name"; do
    mkdir -p "$folder"
    [ "$account" = "$(id -un)" ] || chown "$account" "$folder" 2>/dev/null || continue
    if as "$account" / test -w "$folder" -a -x "$folder"; then echo "$folder" && return; fi
  done
  fail "account $account can write neither $folder_of_parts nor $fallback"
}

install_debian() {
  local part=$1 package=$2 otherwise=$3
  as_root && command -v apt-get >/dev/null || fail "$part is not installed: install it ($otherwise); as root on Debian this script does it"
  [ -n "${apt_updated:-}" ] || apt-get update -qq >&2
  apt_updated=yes
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$package" >/dev/null || fail "$part could not be installed: apt-get install $package failed"
}

line() { printf '%-12s %-8s port %-6s %-12s %s\n' "$1" "$2" "$3" "$5" "$4"; }

fail() {
  printf 'services: %s\n' "$1" >&2
  exit 2
}

now_ms() { echo "${EPOCHREALTIME/./}" | sed 's/...$//'; }

elapsed() {
  local ms=$(($(now_ms) - began))
  printf '%d.%d' $((ms / 1000)) $((ms % 1000 / 100))
}

case ${1:-} in
  start | stop | status) ;;
  *) fail "unknown verb '${1:-}': use start, stop or status" ;;
esac

worst=0
for part in "${parts[@]}"; do
  began=$(now_ms)
  "$part" "$1" || worst=1
done
exit $worst
