# Apache Kafka from Maven, one node of KRaft.

kafka_libs=$downloads/kafka-4.1.0

kafka_installed() { command -v java >/dev/null && [ -d "$kafka_libs" ]; }

kafka_install() { maven_libraries "$kafka_libs" kafka.pom.xml 'point TEST_KAFKA_BROKERS at a server of your own'; }

kafka_version() { echo 4.1.0; }

kafka_launch() {
  local settings=$folder/server.properties
  cat >"$settings" <<SETTINGS
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$((port + 1))
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))
advertised.listeners=PLAINTEXT://127.0.0.1:$port
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$folder/data
num.partitions=3
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
SETTINGS
  [ -f "$folder/data/meta.properties" ] || {
    kafka_java kafka.tools.StorageTool format -t "$(kafka_java kafka.tools.StorageTool random-uuid)" -c "$settings" >"$folder/server.log" 2>&1
  } || return 1
  launch bash -c 'echo $$ >server.pid && exec "$@"' kafka java -Xmx512m -cp "$kafka_libs/*" kafka.Kafka "$settings"
}

kafka_java() { java -cp "$kafka_libs/*" "$@" 2>/dev/null; }

# A one-node broker opens its port once it can serve.
kafka_answers() { listens; }

kafka_pid() { cat "$folder/server.pid"; }
