/** A process of ours that a test starts, listens to, and ends in whatever way it pleases. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

const root = join(import.meta.dirname, '../..')

/** Lines of output that are kept for a message of failure. */
const kept = 40

export interface Child {
  /** The last lines it printed. */
  tail(): string
  /** Null while it runs. */
  ended(): { readonly code: number | null; readonly signal: NodeJS.Signals | null } | null
  signal(name: NodeJS.Signals): void
  /** Ends it where it stands, as a power cut would. Resolves when it is gone. */
  kill(): Promise<void>
  /** Asks it to end, and gives its exit code. */
  stop(): Promise<number | null>
}

/** What Node must be told to run the sources as they are. */
const fromSource = ['--conditions=source', '--import', 'tsx']

/** Runs a TypeScript file, or what was built of one. `onLine` gets each line of its output. */
export function startChild(
  file: string,
  args: readonly string[],
  variables: Readonly<Record<string, string>>,
  onLine: (line: string) => void,
): Child {
  const child: ChildProcess = spawn(
    process.execPath,
    [...(file.endsWith('.ts') ? fromSource : []), file, ...args],
    // Nothing of the surrounding environment but what finds programs and caches: what a test sets is all there is.
    { cwd: root, env: { PATH: process.env['PATH'] ?? '', ...variables }, stdio: ['ignore', 'pipe', 'pipe'] },
  )
  const last: string[] = []
  let ended: ReturnType<Child['ended']> = null
  const gone = once(child, 'close').then(([code, signal]: (number | NodeJS.Signals | null)[]) => {
    ended = { code: code as number | null, signal: signal as NodeJS.Signals | null }
  })
  for (const stream of [child.stdout, child.stderr]) {
    let rest = ''
    stream?.on('data', (chunk: Buffer) => {
      const lines = (rest + chunk.toString()).split('\n')
      rest = lines.pop() ?? ''
      last.push(...lines.slice(-kept))
      last.splice(0, last.length - kept)
      lines.forEach(onLine)
    })
  }
  return {
    tail: () => last.join('\n'),
    ended: () => ended,
    signal: (name) => void child.kill(name),
    async kill() {
      child.kill('SIGKILL')
      await gone
    },
    async stop() {
      child.kill('SIGTERM')
      await gone
      return ended?.code ?? null
    },
  }
}
