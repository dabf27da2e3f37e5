/** A reporter: names at the end of a run what was left out or skipped, so that it is seen and not only counted. */
import type { Reporter, TestModule, TestSuite, Vitest } from 'vitest/node'

/** @param longer what the projects hold that a run may leave out, by their names */
export function skippedReporter(longer: Readonly<Record<string, string>>): Reporter {
  let filtered = false
  let leftOut: readonly string[] = []
  return {
    onInit(vitest: Vitest) {
      filtered = vitest.config.testNamePattern !== undefined
      const run = new Set(vitest.projects.map(({ name }) => name))
      leftOut = Object.entries(longer).flatMap(([name, what]) => (run.has(name) ? [] : [`${name}: ${what}`]))
    },
    onTestRunEnd(modules) {
      tell('Skipped:', filtered ? [] : modules.flatMap((module) => skippedIn(module)))
      tell('Left out, for `npm run test:long`:', leftOut)
    },
  }
}

function tell(title: string, names: readonly string[]): void {
  if (names.length > 0) process.stdout.write(`${title}\n${names.map((name) => `  ${name}\n`).join('')}\n`)
}

/** Suites that were skipped whole by their own name, and of the others the tests that were. */
function skippedIn(parent: TestModule | TestSuite): string[] {
  return [...parent.children].flatMap((child) => {
    if (child.options.mode === 'skip') return [`${child.fullName} (${child.module.relativeModuleId})`]
    return child.type === 'suite' ? skippedIn(child) : []
  })
}
