# Redis from Debian, with the settings that lose nothing that was acknowledged.

redis_installed() { command -v redis-server >/dev/null; }

redis_install() {
  install_debian redis-server 'redis-server on the PATH, or point TEST_REDIS_URL at a server of your own'
}

redis_version() { redis-server --version | grep -oE 'v=[0-9.]+' | cut -c 3-; }

redis_launch() {
  launch redis-server --port "$port" --bind 127.0.0.1 --dir "$folder" --pidfile "$folder/server.pid" \
    --appendonly yes --appendfsync always --save '' --maxmemory-policy noeviction
}

redis_answers() { [ "$(redis-cli -h 127.0.0.1 -p "$port" ping 2>/dev/null)" = PONG ]; }

redis_pid() { cat "$folder/server.pid"; }
