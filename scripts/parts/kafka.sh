# Apache Kafka from Maven, one node of KRaft.

kafka_libs=$downloads/kafka-4.1.0
# Its classes as Java maps them into memory (JEP 350): a start takes half the time and the processor. Java goes without them
# where they do not fit its version.
kafka_classes=$kafka_libs.jsa

kafka_installed() { command -v java >/dev/null && [ -d "$kafka_libs" ]; }

kafka_install() { maven_libraries "$kafka_libs" kafka.pom.xml 'point TEST_KAFKA_BROKERS at a server of your own'; }

kafka_version() { echo 4.1.0; }

# A broker that was killed is not let in again before its session is over, nine seconds unless told.
kafka_launch() {
  local settings=$folder/server.properties
  cat >"$settings" <<SETTINGS
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$((port + 1))
controller.listener.names=CONTROLLER
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
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
  [ -f "$folder/data/meta.properties" ] || kafka_format "$settings" || return 1
  [ -f "$kafka_classes" ] || kafka_keep_classes "$settings"
  launch bash -c 'echo $$ >server.pid && exec "$@"' kafka \
    java -Xmx512m -XX:SharedArchiveFile="$kafka_classes" -cp "$(kafka_classpath)" kafka.Kafka "$settings"
}

# In the same order each time: kept classes are those of one class path.
kafka_classpath() { printf '%s:' "$kafka_libs"/*.jar; }

kafka_format() {
  java -XX:SharedArchiveFile="$kafka_classes" -cp "$(kafka_classpath)" kafka.tools.StorageTool \
    format -t "$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | cut -c 1-22)" -c "$1" >"$folder/server.log" 2>&1
}

# A run for nothing else: Java writes them when it ends.
kafka_keep_classes() {
  java -XX:ArchiveClassesAtExit="$kafka_classes.$$" -cp "$(kafka_classpath)" kafka.Kafka "$1" >>"$folder/server.log" 2>&1 &
  launched=$!
  wait_until answers_or_ended kafka
  command kill "$launched" 2>/dev/null && wait "$launched" || true
  mv -f "$kafka_classes.$$" "$kafka_classes" || true
}

# A one-node broker opens its port once it can serve.
kafka_answers() { listens; }

kafka_pid() { cat "$folder/server.pid"; }
