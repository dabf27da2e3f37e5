/** Random numbers that can be had again: a run prints its seed, and `FAULT_SEED` gives it back. */
import { randomInt } from 'node:crypto'

export interface Random {
  /** 0 or more, less than 1. */
  next(): number
  /** A whole number, both ends included. */
  between(least: number, most: number): number
  pick<T>(items: readonly [T, ...T[]]): T
}

/** Of the process's environment, else a fresh one. Prints it: the only way to see the same choices again. */
export function newSeed(what: string): number {
  const seed = Number(process.env['FAULT_SEED'] ?? randomInt(2 ** 31))
  process.stdout.write(`${what}: FAULT_SEED=${seed}\n`)
  return seed
}

/** Mulberry32. */
export function randomFrom(seed: number): Random {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  return {
    next,
    between: (least, most) => least + Math.floor(next() * (most - least + 1)),
    pick: (items) => items[Math.floor(next() * items.length)] ?? items[0],
  }
}
