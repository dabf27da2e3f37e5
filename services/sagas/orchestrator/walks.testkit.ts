/** For tests of a saga: walks of it, in each of which every state that can be reached keeps the promises of a saga. */
import type { SagaDefinition } from 'ordersaga/definition'
import { describe, expect, test } from 'vitest'
import { check, type CheckOptions } from '../../../saga/hosts/checker/check.ts'
import { statuses as all } from './reads.ts'

export interface Walk extends CheckOptions {
  /** The saga, where it is not that of all walks. */
  readonly of?: SagaDefinition
}

export interface Expected {
  /** Fewer states, or more, and it is not the walk that it was meant to be. */
  readonly least: number
  readonly most?: number
}

/** @param usual what every walk has that says nothing else */
export function everyStateKeepsThePromises(
  saga: SagaDefinition,
  walks: Readonly<Record<string, Walk>>,
  { least, most = Infinity }: Expected,
  usual: CheckOptions = {},
): void {
  describe('every state keeps the promises', () => {
    test.each(Object.entries(walks))('%s', (_name, { of = saga, ...options }) => {
      const { fault, states, statuses } = check(of, { hostFails: false, operator: false, ...usual, ...options })
      expect(fault).toBeNull()
      expect(states).toBeGreaterThan(least)
      expect(states).toBeLessThan(most)
      // FAILED is where nothing may have taken effect: not where every refusal may leave a part.
      const never = canBeRefusedWhole(of) || options.operator === true ? [] : ['FAILED']
      expect(Object.keys(statuses).toSorted()).toEqual(all.filter((status) => !never.includes(status)).toSorted())
    })
  })
}

const canBeRefusedWhole = ({ steps: [first] }: SagaDefinition): boolean =>
  first?.do?.rejected != null && !first.do.rejectedInPart
