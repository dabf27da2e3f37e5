# Temporal's time-skipping test server from Maven. Its time goes with the clock until a test unlocks it, and then days pass in
# a moment. It keeps nothing.

temporaltest_libs=$downloads/temporal-test-server-1.31.0

temporaltest_installed() { command -v java >/dev/null && [ -d "$temporaltest_libs" ]; }

temporaltest_install() {
  maven_libraries "$temporaltest_libs" temporal-test-server.pom.xml \
    'point TEST_TEMPORAL_TIME_ADDRESS at a server of your own'
}

temporaltest_version() { echo 1.31.0; }

temporaltest_launch() {
  launch bash -c 'echo $$ >server.pid && exec "$@"' temporaltest \
    java -Xmx256m -cp "$temporaltest_libs/*" io.temporal.testserver.TestServer "$port"
}

temporaltest_answers() { listens; }

temporaltest_pid() { cat "$folder/server.pid"; }
