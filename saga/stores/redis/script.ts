/** A script that the server runs, and what several of them begin with. */
import { createHash } from 'node:crypto'

export interface Script {
  readonly text: string
  readonly sha: string
}

export function script(...parts: readonly string[]): Script {
  const text = [`local call, K = redis.call, ARGV[1]`, ...parts].join('\n')
  return { text, sha: createHash('sha1').update(text).digest('hex') }
}

export const now = `
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)`
