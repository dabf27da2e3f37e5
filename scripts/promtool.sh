#!/usr/bin/env bash
# Prometheus' own checker of rules, for the test of the alert rules: prints where it is.
#
# Takes the one on the PATH; else, on Debian, takes it out of Debian's package into .parts/bin, which git ignores, and keeps it
# there: neither the server nor anything else is installed.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)

fail() {
  printf 'promtool: %s\n' "$1" >&2
  exit 2
}

offered() { apt-cache policy prometheus | sed -n 's/^ *Candidate: //p' | grep -v '(none)'; }

command -v promtool && exit
command -v apt-get >/dev/null || fail 'it is not on the PATH: install Prometheus'
version=$(offered) || { apt-get update -qq >&2 && version=$(offered); } || fail "Debian's package prometheus is not offered here"
binary=$root/.parts/bin/promtool-$version
if [ ! -x "$binary" ]; then
  mkdir -p "${binary%/*}"
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  (cd "$work" && apt-get -o APT::Sandbox::User=root download -qq "prometheus=$version" >&2) || fail 'the package could not be downloaded, see above'
  dpkg-deb --fsys-tarfile "$work"/*.deb | tar -xO ./usr/bin/promtool >"$work/promtool"
  chmod +x "$work/promtool"
  mv "$work/promtool" "$binary"
fi
echo "$binary"
