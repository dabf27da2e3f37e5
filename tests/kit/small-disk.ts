/** A disk of a few megabytes, for tests of what happens when it is full: memory that is mounted at a temporary folder. */
import { execFileSync } from 'node:child_process'
import { chmodSync, closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'vitest'

export interface SmallDisk {
  readonly folder: string
  /** Takes all the room that is left. */
  fill(): void
  /** Gives that back. */
  makeRoom(): void
  /** Whatever still has files there open. */
  remove(): void
}

/** @throws Error where this user may not mount anything */
export function smallDisk(megabytes: number): SmallDisk {
  const folder = mkdtempSync(join(tmpdir(), 'ordersaga-disk-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=0755`, 'ordersaga-test', folder], {
      stdio: ['ignore', 'ignore', 'pipe'],
    })
  } catch (error) {
    rmSync(folder, { recursive: true })
    throw error
  }
  chmodSync(folder, 0o755) // some servers run under an account of their own
  const filler = join(folder, 'filler')
  return {
    folder,
    fill() {
      const file = openSync(filler, 'a')
      for (const size of [1_048_576, 4_096]) writeUntilFull(file, Buffer.alloc(size))
      closeSync(file)
    },
    makeRoom: () => rmSync(filler),
    remove() {
      execFileSync('umount', ['--lazy', folder])
      rmSync(folder, { recursive: true })
    },
  }
}

function writeUntilFull(file: number, piece: Buffer): void {
  try {
    while (writeSync(file, piece) === piece.length);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
  }
}

/** Why no disk can be mounted here; null where one can. */
function whyNot(): string | null {
  try {
    smallDisk(1).remove()
    return null
  } catch (error) {
    return error instanceof Error ? error.message.trim().replaceAll(/\s+/g, ' ') : String(error)
  }
}

/** Describes a suite that needs a disk of its own; skipped by name, with the reason, where this user may not mount one. */
export function suiteOnSmallDisk(name: string, body: () => void): void {
  const why = whyNot()
  if (why === null)
    describe(name, () => {
      body()
    })
  else
    describe.skip(`${name} (no disk can be mounted here: ${why})`, () => {
      test('the whole suite', () => undefined)
    })
}
