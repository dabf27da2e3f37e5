import assert from 'node:assert/strict'
import { check } from 'ordersaga/checker'
import { buy } from './saga.ts'

// Lost, late, repeated and reordered messages, refusals, cancels, a host that fails: every state that can be reached.
const { states, fault } = check(buy)
assert.equal(fault, null, fault?.story.join('\n'))
console.log(states > 100)
// true
