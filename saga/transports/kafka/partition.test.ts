import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Partition } from './partition.ts'

const from = (offset: number, ...taken: readonly number[]): Partition => {
  const partition = new Partition(0, offset)
  for (const each of taken) partition.take(each)
  return partition
}

describe('a partition', () => {
  test('may be committed up to the oldest record that is not settled', () => {
    const partition = from(10, 10, 11, 12)
    partition.settle(11)
    expect([partition.position, partition.inHand, partition.width]).toEqual([10, 2, 3])
    partition.settle(10)
    expect([partition.position, partition.inHand, partition.width]).toEqual([12, 1, 1])
    partition.settle(12)
    expect([partition.position, partition.inHand, partition.width]).toEqual([13, 0, 0])
  })

  test('may have gaps in its offsets', () => {
    const partition = from(3, 5, 9)
    expect(partition.position).toBe(5)
    partition.settle(5)
    expect(partition.position).toBe(9)
    partition.settle(9)
    expect(partition.position).toBe(10)
  })

  test('takes a record once', () => {
    const partition = from(0, 0, 1, 2)
    partition.settle(1)
    expect([0, 1, 2, 3].map((offset) => partition.take(offset))).toEqual([false, false, false, true])
  })

  test('goes on where its records come again from the last commit', () => {
    const partition = from(10, 10, 11, 12)
    partition.settle(10)
    partition.committed = 11
    partition.keep()
    expect(partition.follows(11)).toBe(true)
    expect(partition.follows(13)).toBe(true)
  })

  test('does not go on where others have read on from what is in hand here', () => {
    const partition = from(10, 10, 11, 12)
    partition.keep()
    expect(partition.follows(12)).toBe(false)
    const settled = from(10, 10)
    settled.settle(10)
    settled.keep()
    expect(settled.follows(40)).toBe(true)
  })

  test('does not go on where the log counts from its beginning again', () => {
    const partition = from(10, 10)
    partition.committed = 10
    expect(partition.follows(0)).toBe(false)
  })

  test('never tells a position that skips a record that is not settled, whatever is settled when', () => {
    const run = fc.array(fc.tuple(fc.integer({ min: 1, max: 3 }), fc.nat()), { maxLength: 50 })
    fc.assert(
      fc.property(run, (steps) => {
        const partition = new Partition(0, 0)
        const open = new Set<number>()
        let next = 0
        for (const [gap, settle] of steps) {
          next += gap
          partition.take(next)
          open.add(next)
          const settled = [...open][settle % (open.size + 1)]
          if (settled !== undefined) partition.settle(settled)
          if (settled !== undefined) open.delete(settled)
          expect(partition.position).toBe(open.size === 0 ? next + 1 : Math.min(...open))
          expect(partition.inHand).toBe(open.size)
        }
      }),
    )
  })
})
