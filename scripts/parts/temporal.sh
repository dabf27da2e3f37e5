# Temporal's server with its database in one file, from its CLI, which Go builds once (some minutes) and which is then kept.

temporal_cli_version=1.5.1 # has server 1.29.1; later tags refuse `go install`
temporal_binary=$downloads/temporal-$temporal_cli_version

temporal_installed() { [ -x "$temporal_binary" ]; }

temporal_install() {
  command -v go >/dev/null ||
    install_debian golang-go 'go on the PATH, or point TEST_TEMPORAL_ADDRESS at a server of your own'
  mkdir -p "$downloads"
  local bin
  bin=$(mktemp -d "$downloads/temporal.part-XXXXXX")
  printf 'services: building Temporal %s, once: this takes some minutes\n' "$temporal_cli_version" >&2
  GOBIN=$bin go install "github.com/temporalio/cli/cmd/temporal@v$temporal_cli_version" >&2 ||
    fail "Temporal could not be built: see Go's output above"
  mv "$bin/temporal" "$temporal_binary" && rmdir "$bin"
}

# Of the server.
temporal_version() { "$temporal_binary" --version | grep -oE 'Server [0-9.]+' | cut -d ' ' -f 2; }

temporal_launch() {
  launch bash -c 'echo $$ >server.pid && exec "$@"' temporal "$temporal_binary" server start-dev \
    --headless --ip 127.0.0.1 --port "$port" --db-filename "$folder/temporal.db" --log-level warn --disable-config-file \
    --search-attribute SagaDefinition=Keyword --search-attribute SagaStatus=Keyword --search-attribute SagaBusinessKey=Keyword
}

temporal_answers() {
  "$temporal_binary" operator cluster health --address "127.0.0.1:$port" --disable-config-file 2>/dev/null | grep -q SERVING
}

temporal_pid() { cat "$folder/server.pid"; }
