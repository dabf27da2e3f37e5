import { defineConfig } from 'vitest/config'
import { skippedReporter } from './tests/skipped.ts'

/** Where to write the totals that .ci/run adds up; nowhere unless said. */
const report = process.env['TEST_REPORT']

const failingServers = ['**/*-faults.int.test.ts']
const wholeSystems = ['tests/e2e/**/*.test.ts', 'tests/faults/**/*.test.ts']

export default defineConfig({
  resolve: { conditions: ['source'] },
  ssr: { resolve: { conditions: ['source'], externalConditions: ['source'] } },
  test: {
    // Servers that fail are mostly waited for: two such suites go side by side, with nothing else. Whole systems under
    // load need the machine for themselves: they come last, one after the other.
    projects: [
      {
        extends: true,
        test: {
          name: 'parts',
          include: ['saga/**/*.test.ts', 'services/**/*.test.ts', 'tests/**/*.test.ts'],
          exclude: ['**/node_modules/**', '**/dist/**', ...failingServers, ...wholeSystems],
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: { name: 'failing servers', include: failingServers, maxWorkers: 2, sequence: { groupOrder: 1 } },
      },
      {
        extends: true,
        test: { name: 'whole systems', include: wholeSystems, maxWorkers: 1, sequence: { groupOrder: 2 } },
      },
    ],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    pool: 'forks',
    reporters: ['default', skippedReporter(), ...(report === undefined ? [] : ['json'])],
    ...(report === undefined ? {} : { outputFile: report }),
    maxWorkers: 2,
    coverage: {
      provider: 'v8',
      include: ['saga/core/**/*.ts'],
      exclude: ['**/*.testkit.ts'],
      reporter: ['text'],
      thresholds: { branches: 100 },
    },
  },
})
