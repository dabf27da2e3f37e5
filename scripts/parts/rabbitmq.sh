# RabbitMQ from Debian. Started as root with folders of root it fails, so it runs as its own account.

rabbitmq_account() { as_root && echo rabbitmq || id -un; }

rabbitmq_installed() { [ -n "$(rabbitmq_program)" ]; }

rabbitmq_install() {
  install_debian rabbitmq-server 'rabbitmq-server on the PATH, or point TEST_RABBITMQ_URL at a server of your own'
}

rabbitmq_version() { dpkg-query -W -f '${Version}' rabbitmq-server 2>/dev/null | cut -d - -f 1; }

rabbitmq_launch() {
  # Its distribution port is 20000 above the other unless told: among those that outgoing connections take theirs from.
  launch env HOME="$folder" RABBITMQ_NODENAME="ordersaga-$port@localhost" RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 \
    RABBITMQ_NODE_PORT="$port" RABBITMQ_DIST_PORT=$((port + 1)) \
    RABBITMQ_MNESIA_BASE="$folder/mnesia" RABBITMQ_LOG_BASE="$folder/log" RABBITMQ_PID_FILE="$folder/server.pid" \
    RABBITMQ_CONF_ENV_FILE=/dev/null RABBITMQ_CONFIG_FILE="$folder/none" RABBITMQ_ENABLED_PLUGINS_FILE="$folder/plugins" \
    "$(rabbitmq_program)"
}

# The protocol header is answered once the broker serves; before that the port may already listen.
rabbitmq_answers() {
  local answer
  answer=$( (exec 3<>"/dev/tcp/127.0.0.1/$port" && printf 'AMQP\x00\x00\x09\x01' >&3 && timeout 3 head -c 1 <&3 | od -An -tx1) 2>/dev/null)
  [ -n "$answer" ]
}

rabbitmq_pid() { cat "$folder/server.pid"; }

# The wrapper on the PATH changes the account and the folder; this one does not.
rabbitmq_program() { ls /usr/lib/rabbitmq/bin/rabbitmq-server 2>/dev/null || command -v rabbitmq-server || true; }
