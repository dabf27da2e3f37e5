/** A reporter: names at the end of a run what was skipped, so that a missing part is seen and not only counted. */
import type { Reporter, TestModule, TestSuite, Vitest } from 'vitest/node'

export function skippedReporter(): Reporter {
  let filtered = false
  return {
    onInit(vitest: Vitest) {
      filtered = vitest.config.testNamePattern !== undefined
    },
    onTestRunEnd(modules) {
      const skipped = filtered ? [] : modules.flatMap((module) => skippedIn(module))
      if (skipped.length > 0) process.stdout.write(`Skipped:\n${skipped.map((name) => `  ${name}\n`).join('')}\n`)
    },
  }
}

/** Suites that were skipped whole by their own name, and of the others the tests that were. */
function skippedIn(parent: TestModule | TestSuite): string[] {
  return [...parent.children].flatMap((child) => {
    if (child.options.mode === 'skip') return [`${child.fullName} (${child.module.relativeModuleId})`]
    return child.type === 'suite' ? skippedIn(child) : []
  })
}
