#!/usr/bin/env bash
# The real parts that the integration tests talk to, without a container engine:
#
#   services.sh start | stop | status | kill | installed [part...]        all parts unless some are named
#
# Installs what is missing (Debian, as root), gives each part its own port and data folder, waits until it answers, and
# stops only what this checkout started. Starting twice is harmless. One line per part: name, version, port, seconds, folder.
# `kill` ends a part without warning (SIGKILL), for tests of faults; `installed` says whether its programs are there.
#
#   ORDERSAGA_POSTGRES_PORT   54329 unless said otherwise
#   ORDERSAGA_REDIS_PORT      63790
#   ORDERSAGA_RABBITMQ_PORT   56720; the next one is for its tools
#   ORDERSAGA_KAFKA_PORT      19092; the next one is its controller's
#   ORDERSAGA_TEMPORAL_PORT   17233
#   ORDERSAGA_TEMPORALTEST_PORT   17333; Temporal's server whose time can be skipped
#   ORDERSAGA_PARTS           where the data folders are; .parts/ of this checkout
#   ORDERSAGA_DOWNLOADS       where downloads are kept between runs; .parts/downloads/ of this checkout
#
# A part is a file in parts/ that sets its name and defines:
#   <part>_installed  true where its programs are there        <part>_answers   true once it serves
#   <part>_install    gets them, or says how to                <part>_pid       prints its process id
#   <part>_version    prints its version
#   <part>_launch     starts it in $folder on $port, in the background; its output goes to $folder/server.log
# and may define <part>_account (who runs it; the one who runs this) and <part>_stop_signal (TERM).
set -euo pipefail
export LC_ALL=C

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
folder_of_parts=${ORDERSAGA_PARTS:-$root/.parts}
downloads=${ORDERSAGA_DOWNLOADS:-$root/.parts/downloads}
# A checkout has its own folder in the fallback too, so that `stop` never reaches another checkout's servers.
fallback=/var/tmp/ordersaga-parts/$(printf '%s' "$folder_of_parts" | cksum | cut -d ' ' -f 1)
all_parts=(postgresql redis rabbitmq kafka temporal temporaltest)
patience=120 # seconds

declare -A port_of=(
  [postgresql]=${ORDERSAGA_POSTGRES_PORT:-54329}
  [redis]=${ORDERSAGA_REDIS_PORT:-63790}
  [rabbitmq]=${ORDERSAGA_RABBITMQ_PORT:-56720}
  [kafka]=${ORDERSAGA_KAFKA_PORT:-19092}
  [temporal]=${ORDERSAGA_TEMPORAL_PORT:-17233}
  [temporaltest]=${ORDERSAGA_TEMPORALTEST_PORT:-17333}
)
declare -A title_of=(
  [postgresql]=PostgreSQL [redis]=Redis [rabbitmq]=RabbitMQ [kafka]=Kafka [temporal]=Temporal [temporaltest]='Temporal/test'
)

main() {
  local verb=${1:-} worst=0 part
  case $verb in
    start | stop | status | kill | installed) shift ;;
    *) fail "unknown verb '$verb': use start, stop, status, kill or installed" ;;
  esac
  [ $# -gt 0 ] || set -- "${all_parts[@]}"
  for part in "$@"; do
    [ -n "${port_of[$part]:-}" ] || fail "unknown part '$part': use ${all_parts[*]}"
    # shellcheck source=/dev/null
    . "$root/scripts/parts/$part.sh"
    title=${title_of[$part]} port=${port_of[$part]} began=$(now_ms)
    "$verb" "$part" || worst=1
  done
  return $worst
}

start() {
  local part=$1
  "${part}_installed" || "${part}_install"
  place "$part"
  if ! "${part}_answers"; then
    "${part}_launch" || fail "$title could not be started: see $folder/server.log"
    wait_until answers_or_ended "$part"
    "${part}_answers" ||
      fail "$title does not answer on port $port: see $folder/server.log, or set ORDERSAGA_${part^^}_PORT to another port. The log ends with:
$(tail -n 3 "$folder/server.log" | cut -c 1-300)"
  fi
  line "$("${part}_version")" "$(ours "$part" && echo "$folder" || echo 'started elsewhere')" "$(elapsed) s"
}

answers_or_ended() { "$1_answers" || gone "$launched"; }

stop() { end "$1" "$(if declare -F "${1}_stop_signal" >/dev/null; then "${1}_stop_signal"; else echo TERM; fi)" stopped; }

kill() { end "$1" KILL killed; }

end() {
  local part=$1 signal=$2 done=$3 pid processes
  place "$part"
  if ours "$part"; then
    pid=$("${part}_pid")
    # Its children too: what is left of a killed server keeps the next one from its memory and files.
    processes=("$pid" $(cat "/proc/$pid/task/$pid/children"))
    command kill -s "$signal" "$pid"
    wait_until gone "${processes[@]}" || fail "$title did not stop: see $folder/server.log"
    line '' "$folder" "$done"
  else
    line '' "$folder" 'not started here'
  fi
}

installed() { "$1_installed"; }

status() {
  local part=$1
  place "$part"
  if "${part}_answers"; then
    line '' "$(ours "$part" && echo "$folder" || echo 'started elsewhere')" 'answers'
  else
    line '' "$folder" 'does not answer'
    return 1
  fi
}

# --- what every part needs ---

# Sets $account and $folder.
place() {
  account=$(if declare -F "${1}_account" >/dev/null; then "${1}_account"; else id -un; fi)
  folder=$(owned_folder "$1" "$account") || exit 2
}

# A folder among the parts where the account can reach it, else under /var/tmp.
owned_folder() {
  local name=$1 account=$2 folder
  # An account that does not exist yet owns nothing, and runs nothing.
  id "$account" >/dev/null 2>&1 || { echo "$folder_of_parts/$name" && return; }
  for folder in "$folder_of_parts/$name" "$fallback/$name"; do
    mkdir -p "$folder"
    [ "$account" = "$(id -un)" ] || chown "$account" "$folder" 2>/dev/null || continue
    if as "$account" / test -w "$folder" -a -x "$folder"; then echo "$folder" && return; fi
  done
  fail "account $account can write neither $folder_of_parts nor $fallback"
}

ours() {
  local pid
  pid=$("${1}_pid" 2>/dev/null) && [ -n "$pid" ] && ! gone "$pid"
}

# True where none of the processes runs any more. One whose first thread has ended may still have others, with its ports.
gone() {
  local pid
  for pid in "$@"; do
    [ ! -d "/proc/$pid" ] || { is_zombie "$pid" && [ "$(ls "/proc/$pid/task" 2>/dev/null | wc -l)" -le 1 ]; } || return 1
  done
}

is_zombie() { grep -q '^State:\s*Z' "/proc/$1/status" 2>/dev/null; }

wait_until() {
  local until=$((SECONDS + patience))
  while ! "$@"; do
    [ "$SECONDS" -lt "$until" ] || return 1
    sleep 0.1
  done
}

as_root() { [ "$(id -u)" = 0 ]; }

# Runs a command as an account, in a folder that the account can enter.
as() {
  local account=$1 folder=$2
  shift 2
  if [ "$account" = "$(id -un)" ]; then (cd "$folder" && "$@"); else (cd "$folder" && runuser -u "$account" -- "$@"); fi
}

# Runs a command as the part's account, in its folder, apart from this terminal: Ctrl-C here is not for the servers. Sets
# $launched, the process that lasts as long as the server does.
launch() {
  as "$account" "$folder" setsid "$@" >>"$folder/server.log" 2>&1 </dev/null &
  launched=$!
  disown
}

# True where something takes connections there, whatever it says.
listens() { (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; }

install_debian() {
  local package=$1 otherwise=$2
  as_root && command -v apt-get >/dev/null ||
    fail "$title is not installed: install it ($otherwise); as root on Debian this script does it"
  [ -n "${apt_updated:-}" ] || apt-get update -qq >&2
  apt_updated=yes
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$package" >/dev/null ||
    fail "$title could not be installed: apt-get install $package failed"
}

# The jars that a pom.xml of ours names, into a folder that is there whole or not at all.
maven_libraries() {
  local libraries=$1 pom=$2 otherwise=$3
  command -v java >/dev/null || install_debian default-jre-headless 'java 17 or newer on the PATH'
  command -v mvn >/dev/null || install_debian maven "mvn on the PATH, or $otherwise"
  mkdir -p "$downloads"
  rm -rf "$libraries.part"
  mvn -q -B -f "$root/scripts/parts/$pom" -DoutputDirectory="$libraries.part" dependency:copy-dependencies >&2 ||
    fail "$title could not be downloaded: see Maven's output above"
  # Two scripts at once: the second finds the first one's folder, and its own is not needed.
  mv -T "$libraries.part" "$libraries" 2>/dev/null || rm -rf "$libraries.part"
}

line() { printf '%-13s %-8s port %-6s %-16s %s\n' "$title" "$1" "$port" "$3" "$2"; }

fail() {
  printf 'services: %s\n' "$1" >&2
  exit 2
}

now_ms() { echo "${EPOCHREALTIME/./}" | sed 's/...$//'; }

elapsed() {
  local ms=$(($(now_ms) - began))
  printf '%d.%d' $((ms / 1000)) $((ms % 1000 / 100))
}

main "$@"
