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

/** What `--build-arg` says, or a stage knows by then. */
type Values = Readonly<Record<string, string>>

/**
 * Gives what builds an image with the given `--build-arg`s: every stage that the last one needs, those that do not need each
 * other at once. A stage is built once for all images that give it the same.
 */
export async function openDockerfile(context: string, into: string): Promise<(args?: Values) => Promise<Image>> {
  const { choosing, stages } = stagesOf(parseDockerfile(await readFile(join(context, 'Dockerfile'), 'utf8')))
  const ignored = ignoring(await readFile(join(context, '.dockerignore'), 'utf8'))
  const builds = new Map<string, Promise<Stage>>()
  const isTold = (name: string): boolean => {
    const { from, instructions } = stages.get(name) ?? { from: '', instructions: [] }
    return from.includes('$') || instructions.some(({ keyword }) => keyword === 'ARG') || (from !== '' && isTold(from))
  }
  const build = (name: string, args: Values): Promise<Stage> => {
    // Only a stage that names arguments, or stands on one of those, is another with others.
    const key = isTold(name) ? JSON.stringify([name, args]) : name
    const known = builds.get(key) ?? start(name, args, join(into, `${builds.size}-${name}`))
    builds.set(key, known)
    return known
  }
  const start = async (name: string, args: Values, root: string): Promise<Stage> => {
    const { from, instructions } = stages.get(name) ?? { from: name, instructions: [] }
    const parent = expanded(from, named(choosing, args))
    const stage = await begin(parent, args, instructions.some(writes) ? root : null)
    const known = named(instructions, args)
    for (const { keyword, flags, rest } of instructions)
      if (keyword !== 'ARG')
        await follow({ keyword, flags, rest: keyword === 'ENV' ? expanded(rest, known) : rest }, stage, args)
    return stage
  }
  /** @param root null where the stage changes no file of its parent's */
  const begin = async (from: string, args: Values, root: string | null): Promise<Stage> => {
    if (!stages.has(from)) return { ...scratch, base: from, root: await made(root ?? join(into, 'nothing')) }
    const parent = await build(from, args)
    if (root === null) return { ...parent }
    await cp(parent.root, root, { recursive: true, verbatimSymlinks: true })
    return { ...parent, root }
  }
  const follow = async ({ keyword, flags, rest }: Instruction, stage: Stage, args: Values): Promise<void> => {
    const here = join(stage.root, stage.workdir)
    switch (keyword) {
      case 'COPY': {
        const from = flags['from']
        const source = from === undefined ? context : (await build(from, args)).root
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
  return (args = {}) => build([...stages.keys()].at(-1) ?? '', args)
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

/** Whether it changes files, so that the stage needs some of its own. */
const writes = ({ keyword }: Instruction): boolean => ['COPY', 'RUN', 'WORKDIR'].includes(keyword)

/** Of the arguments, those that are named by ARG: what follows knows no others. */
function named(instructions: readonly Instruction[], args: Values): Values {
  const names = instructions.filter(({ keyword }) => keyword === 'ARG').map(({ rest }) => rest)
  const odd = names.find((name) => !/^\w+$/.test(name))
  if (odd !== undefined)
    throw new Error(`this reader of Dockerfiles does not know ARG ${odd}: teach it, or leave it out`)
  return Object.fromEntries(names.map((name) => [name, args[name] ?? '']))
}

/** `$NAME`, `${NAME}`, and `${NAME:+text}`, which is the text where there is a value. */
const expanded = (text: string, values: Values): string =>
  text.replaceAll(/\$(?:(\w+)|\{(\w+)(?::\+([^}]*))?\})/g, (_all, bare?: string, name?: string, then?: string) => {
    const value = values[bare ?? name ?? ''] ?? ''
    return then === undefined || value === '' ? value : then
  })

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

interface Stages {
  /** What stands before the first stage: what their bases are chosen by. */
  readonly choosing: readonly Instruction[]
  readonly stages: ReadonlyMap<string, { readonly from: string; readonly instructions: readonly Instruction[] }>
}

function stagesOf(instructions: readonly Instruction[]): Stages {
  const choosing: Instruction[] = []
  const stages = new Map<string, { from: string; instructions: Instruction[] }>()
  let last = choosing
  for (const instruction of instructions) {
    if (instruction.keyword !== 'FROM') last.push(instruction)
    else {
      const [from = '', name = 'last'] = instruction.rest.split(/\s+AS\s+/i)
      last = []
      stages.set(name, { from, instructions: last })
    }
  }
  return { choosing, stages }
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
