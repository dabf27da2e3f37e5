import { defineConfig } from 'vitest/config'
import { skippedReporter } from './tests/skipped.ts'

/** Where to write the totals that .ci/run adds up; nowhere unless said. */
const report = process.env['TEST_REPORT']

const wholeSystems = ['tests/e2e/**/*.test.ts', 'tests/faults/**/*.test.ts', '**/*-faults.int.test.ts']

export default defineConfig({
  resolve: { conditions: ['source'] },
  ssr: { resolve: { conditions: ['source'], externalConditions: ['source'] } },
  test: {
    // Whole systems under load need the machine for themselves: they come last, one after the other.
    projects: [
      {
        extends: true,
        test: {
          name: 'parts',
          include: ['saga/**/*.test.ts', 'services/**/*.test.ts', 'tests/**/*.test.ts'],
          exclude: ['**/node_modules/**', '**/dist/**', ...wholeSystems],
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: { name: 'whole systems', include: wholeSystems, maxWorkers: 1, sequence: { groupOrder: 1 } },
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
