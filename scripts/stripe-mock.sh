#!/usr/bin/env bash
# Stripe's own mock, for the tests of the Stripe gateway: `stripe-mock.sh start | stop | status`.
#
# Builds it once with Go into .parts/bin, which git ignores, and keeps it there. Starting twice is harmless; stops only what
# this checkout started. The mock checks every call against Stripe's own description of its API and keeps no state.
#
#   ORDERSAGA_STRIPE_MOCK_PORT   its port on 127.0.0.1; 12111 unless said otherwise
set -euo pipefail

version=v0.203.0
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
port=${ORDERSAGA_STRIPE_MOCK_PORT:-12111}
binary=$root/.parts/bin/stripe-mock-$version
folder=$root/.parts/stripe-mock
pidfile=$folder/pid

fail() {
  printf 'stripe-mock: %s\n' "$1" >&2
  exit 2
}

line() { printf '%-12s %-8s port %-6s %-12s %s\n' stripe-mock "$version" "$port" "$1" "$folder"; }

answers() { curl -s -o /dev/null --max-time 3 -H 'Authorization: Bearer sk_test_mock' "http://127.0.0.1:$port/v1/balance"; }

# A process id may have been given to another program since: only one that runs our binary is ours.
ours() { [ -f "$pidfile" ] && [ "$(readlink "/proc/$(cat "$pidfile")/exe" 2>/dev/null)" = "$binary" ]; }

build() {
  [ -x "$binary" ] && return
  command -v go >/dev/null || fail 'Go is not installed: install it (Debian: apt-get install golang-go) to build the mock'
  mkdir -p "$root/.parts/bin"
  GOBIN=$root/.parts/bin go install "github.com/stripe/stripe-mock@$version" || fail 'the mock could not be built, see above'
  mv "$root/.parts/bin/stripe-mock" "$binary"
}

case ${1:-} in
  start)
    if ! answers; then
      build
      mkdir -p "$folder"
      # Told no address for HTTPS it takes 12112, which another may have.
      nohup "$binary" -http-addr "127.0.0.1:$port" -https-addr 127.0.0.1:0 >"$folder/log" 2>&1 </dev/null &
      echo $! >"$pidfile"
      for _ in $(seq 100); do
        answers && break
        ours || fail "it ended at once, see $folder/log"
        sleep 0.1
      done
      answers || fail "it does not answer on port $port, see $folder/log"
    fi
    line "$(ours && echo started || echo 'not ours')"
    ;;
  stop)
    if ours; then
      kill "$(cat "$pidfile")" && rm "$pidfile"
      line stopped
    else
      line 'not started here'
    fi
    ;;
  status)
    if answers; then line answers; else
      line 'does not answer'
      exit 1
    fi
    ;;
  *) fail "unknown verb '${1:-}': use start, stop or status" ;;
esac
