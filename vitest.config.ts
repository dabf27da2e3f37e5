import { defineConfig } from 'vitest/config'
import { skippedReporter } from './tests/skipped.ts'

/** Where to write the totals that .ci/run adds up; nowhere unless said. */
const report = process.env['TEST_REPORT']

/** What needs a server, or the registry, or has the machine for itself for long: `npm run test:long`. */
const failingServers = ['**/*-faults.int.test.ts']
const wholeSystems = ['tests/e2e/**/*.test.ts', 'tests/faults/**/*.test.ts']
/** One looks at what runs on the machine; the others have so many seconds to take over. */
const undisturbed = ['tests/e2e/apart.test.ts', 'tests/faults/{engines,outages,upgrade}.int.test.ts']
const servers = ['**/*.int.test.ts', 'tests/package/**/*.test.ts', 'tests/container/image.test.ts']
/** What `npm test` says that it leaves to them. */
const longer = {
  servers:
    'suites on PostgreSQL, Redis, RabbitMQ, Kafka, Temporal and a mock of Stripe; the package and the image, as built',
  'failing servers': 'the same servers, cut off, frozen and killed',
  'whole systems': 'all services as processes on six combinations of servers, twenty rounds of kill -9',
  'undisturbed systems': 'the same through upgrades and outages, one after the other',
}
/** One short round of a whole system, and of killing it, on the embedded default. */
const short = ['tests/e2e/systems.test.ts', 'tests/faults/kill.test.ts']
const nothing = ['**/node_modules/**', '**/dist/**']
/** Who starts many processes of services runs what is built. */
const globalSetup = 'tests/kit/built.ts'

export default defineConfig({
  resolve: { conditions: ['source'] },
  ssr: { resolve: { conditions: ['source'], externalConditions: ['source'] } },
  test: {
    // Servers that fail are mostly waited for: such suites go side by side, with nothing else. Some whole systems need the
    // machine for themselves: they come last, one after the other.
    projects: [
      {
        extends: true,
        test: {
          name: 'parts',
          include: ['saga/**/*.test.ts', 'services/**/*.test.ts', 'tests/**/*.test.ts'],
          exclude: [...nothing, ...servers, ...wholeSystems],
          // To load the same modules again for every file would cost a third of the time.
          isolate: false,
          maxWorkers: 3,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: { name: 'short systems', include: short, globalSetup, maxWorkers: 1, sequence: { groupOrder: 1 } },
      },
      {
        extends: true,
        test: {
          name: 'servers',
          include: servers,
          exclude: [...nothing, ...failingServers, ...wholeSystems],
          maxWorkers: 3,
          sequence: { groupOrder: 2 },
        },
      },
      {
        extends: true,
        test: {
          name: 'failing servers',
          globalSetup,
          include: failingServers,
          maxWorkers: 3,
          sequence: { groupOrder: 3 },
        },
      },
      {
        extends: true,
        test: {
          name: 'whole systems',
          globalSetup,
          include: wholeSystems,
          exclude: [...nothing, ...short, ...undisturbed],
          maxWorkers: 2,
          sequence: { groupOrder: 4 },
        },
      },
      {
        extends: true,
        test: {
          name: 'undisturbed systems',
          globalSetup,
          include: undisturbed,
          exclude: [...nothing, ...short],
          maxWorkers: 1,
          sequence: { groupOrder: 5 },
        },
      },
    ],
    // A busy machine is slow: what is waited for comes, or the test has found something.
    expect: { poll: { timeout: 30_000 } },
    testTimeout: 180_000,
    hookTimeout: 180_000,
    pool: 'forks',
    restoreMocks: true,
    reporters: ['default', skippedReporter(longer), ...(report === undefined ? [] : ['json'])],
    ...(report === undefined ? {} : { outputFile: report }),
    maxWorkers: 2,
    coverage: {
      provider: 'v8',
      include: ['saga/core/**/*.ts', 'saga/declare/**/*.ts'],
      exclude: ['**/*.testkit.ts'],
      reporter: ['text'],
      thresholds: { branches: 100 },
    },
  },
})
