/**
 * Follows a Dockerfile without an engine: each stage becomes a folder that stands for its `/`, files are copied as COPY
 * says, from what .dockerignore lets through, and npm runs as RUN says.
 *
 * What it cannot do is said, not passed over: a RUN that is not npm's is kept for the caller to look at, and an instruction
 * it does not know throws. The base image is this machine's own Node and npm.
 */
import { execFile } from 'node:child_process'
import { cp, mkdir, readFile, stat } from 'node:fs/promises'
import { basename, join, relative } from 'node:path'
import { promisify } from 'node:util'

interface Instruction {
  readonly keyword: string
  readonly flags: Readonly<Record<string, string>>
  readonly rest: string
}

/** The last stage: what an engine would make an image of. */
export interface Image {
  /** The image of the registry that it stands on. */
  readonly base: string
  /** What is `/` in it. */
  readonly root: string
  /** Where its processes start, from its `/`. */
  readonly workdir: string
  readonly environment: Readonly<Record<string, string>>
  readonly user: string
  readonly ports: readonly number[]
  readonly healthcheck: readonly string[]
  readonly entrypoint: readonly string[]
  readonly command: readonly string[]
  /** What RUN says besides npm, and has not been run. */
  readonly notRun: readonly string[]
}

type Stage = { -readonly [Key in keyof Image]: Image[Key] }

/** One instruction a line, comments gone and continued lines joined. */
function parseDockerfile(text: string): readonly Instruction[] {
  const lines = text.replaceAll(/^\s*#.*\n/gm, '').replaceAll(/\\\n/g, '')
  return lines
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const [, keyword = '', flags = '', rest = ''] = /^(\w+)((?:\s+--\S+)*)\s+(.*)$/.exec(line) ?? []
      const named = [...flags.matchAll(/--([\w-]+)=(\S+)/g)].map(([, name = '', value = '']) => [name, value])
      return { keyword: keyword.toUpperCase(), flags: Object.fromEntries(named) as Record<string, string>, rest }
    })
}

/** Builds every stage that the last one needs, those that do not need each other at once. */
export async function buildImage(context: string, into: string): Promise<Image> {
  const stages = stagesOf(parseDockerfile(await readFile(join(context, 'Dockerfile'), 'utf8')))
  const ignored = ignoring(await readFile(join(context, '.dockerignore'), 'utf8'))
  const builds = new Map<string, Promise<Stage>>()
  const build = (name: string): Promise<Stage> => {
    const known = builds.get(name) ?? start(name)
    builds.set(name, known)
    return known
  }
  const start = async (name: string): Promise<Stage> => {
    const { from, instructions } = stages.get(name) ?? { from: name, instructions: [] }
    const stage = await begin(from, join(into, name))
    for (const instruction of instructions) await follow(instruction, stage)
    return stage
  }
  const begin = async (from: string, root: string): Promise<Stage> => {
    if (!stages.has(from)) return { ...scratch, base: from, root: await made(root) }
    const parent = await build(from)
    await cp(parent.root, root, { recursive: true, verbatimSymlinks: true })
    return { ...parent, root }
  }
  const follow = async ({ keyword, flags, rest }: Instruction, stage: Stage): Promise<void> => {
    const here = join(stage.root, stage.workdir)
    switch (keyword) {
      case 'COPY': {
        const from = flags['from']
        const source = from === undefined ? context : (await build(from)).root
        return copy(source, here, rest.split(/\s+/), from === undefined ? ignored : () => false)
      }
      case 'RUN':
        if (rest.startsWith('npm ')) return npm(rest, here)
        stage.notRun = [...stage.notRun, rest]
        return
      default:
        await made(join(stage.root, setting(keyword, rest, stage)))
    }
  }
  return build([...stages.keys()].at(-1) ?? '')
}

const scratch: Omit<Stage, 'base' | 'root'> = {
  workdir: '/',
  environment: {},
  user: 'root',
  ports: [],
  healthcheck: [],
  entrypoint: [],
  command: [],
  notRun: [],
}

/** What an image says of how it is started; gives the folder that must then be there. */
function setting(keyword: string, rest: string, stage: Stage): string {
  switch (keyword) {
    case 'WORKDIR':
      stage.workdir = rest
      break
    case 'ENV':
      stage.environment = { ...stage.environment, ...variables(rest) }
      break
    case 'USER':
      stage.user = rest
      break
    case 'EXPOSE':
      stage.ports = rest.split(/\s+/).map(Number)
      break
    case 'HEALTHCHECK':
      stage.healthcheck = words(rest.replace(/^CMD\s+/, ''))
      break
    case 'ENTRYPOINT':
      stage.entrypoint = words(rest)
      break
    case 'CMD':
      stage.command = words(rest)
      break
    default:
      throw new Error(`this reader of Dockerfiles does not know ${keyword}: teach it, or leave it out`)
  }
  return stage.workdir
}

const variables = (rest: string): Record<string, string> =>
  Object.fromEntries(rest.split(/\s+/).map((pair) => pair.split('=', 2) as [string, string]))

/** @throws SyntaxError where it is not the form that starts a program without a shell */
const words = (rest: string): readonly string[] => JSON.parse(rest) as readonly string[]

function stagesOf(
  instructions: readonly Instruction[],
): ReadonlyMap<string, { readonly from: string; readonly instructions: readonly Instruction[] }> {
  const stages = new Map<string, { from: string; instructions: Instruction[] }>()
  let last: Instruction[] = []
  for (const instruction of instructions) {
    if (instruction.keyword !== 'FROM') last.push(instruction)
    else {
      const [from = '', name = 'last'] = instruction.rest.split(/\s+AS\s+/i)
      last = []
      stages.set(name, { from, instructions: last })
    }
  }
  return stages
}

async function copy(
  root: string,
  here: string,
  paths: readonly string[],
  ignored: (path: string) => boolean,
): Promise<void> {
  const [to = '', ...sources] = paths.toReversed()
  for (const source of sources.map((path) => join(root, path))) {
    const folder = (await stat(source)).isDirectory()
    await cp(source, folder || !to.endsWith('/') ? join(here, to) : join(here, to, basename(source)), {
      recursive: true,
      verbatimSymlinks: true,
      filter: (path) => !ignored(relative(root, path)),
    })
  }
}

/** Docker's rules: the last pattern that matches a path or a folder above it decides. */
function ignoring(text: string): (path: string) => boolean {
  const patterns = text.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('#'))
  const rules = patterns.map((pattern) => ({ kept: pattern.startsWith('!'), matches: glob(pattern.replace(/^!/, '')) }))
  return (path) => rules.findLast(({ matches }) => matches.test(path))?.kept === false
}

function glob(pattern: string): RegExp {
  const escaped = pattern.replaceAll(/[.+^${}()|[\]]/g, String.raw`\$&`)
  const source = escaped.replaceAll(/\*\*\/|\*/g, (star) => (star === '*' ? '[^/]*' : '(?:.*/)?'))
  return new RegExp(`^${source}(?:/|$)`)
}

/** As in a shell of its own: not as part of the npm run that started the tests. Packages come from the cache if they can. */
async function npm(command: string, folder: string): Promise<void> {
  const ours = /^(npm_(package|lifecycle|command|config_(local_)?prefix)|INIT_CWD|NODE_|VITEST)/
  const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !ours.test(name)))
  const run = promisify(execFile)('sh', ['-c', command], {
    cwd: folder,
    env: { ...environment, npm_config_prefer_offline: 'true' },
    maxBuffer: 1e7,
  })
  await run.catch((error: { readonly stdout: string; readonly stderr: string }) => {
    throw new Error(`RUN ${command} failed:\n${error.stdout}${error.stderr}`, { cause: error })
  })
}

async function made(folder: string): Promise<string> {
  await mkdir(folder, { recursive: true })
  return folder
}
