import { expect, test } from 'vitest'
import { driver } from './driver.ts'

test('a missing package is named, with who needs it and what to do', () => {
  expect(() => driver('no-such-driver', 'ordersaga/stores/none')).toThrow(
    'ordersaga/stores/none needs the package no-such-driver, which is not installed: npm install no-such-driver',
  )
})

test('what fails within a package that is there says so in its own words', () => {
  expect(() => driver('vitest', 'ordersaga/stores/none')).toThrow(/Vitest cannot be imported/)
})
