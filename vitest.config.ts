import { defineConfig } from 'vitest/config'
import { skippedReporter } from './tests/skipped.ts'

/** Where to write the totals that .ci/run adds up; nowhere unless said. */
const report = process.env['TEST_REPORT']

export default defineConfig({
  resolve: { conditions: ['source'] },
  ssr: { resolve: { conditions: ['source'], externalConditions: ['source'] } },
  test: {
    include: ['saga/**/*.test.ts', 'services/**/*.test.ts', 'tests/**/*.test.ts'],
    exclude: ['**/node_modules/**', '**/dist/**'],
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
