/** Checks what types cannot at run time: options that a store is made with. */
import { StoreError } from './store.ts'

/** What an option must be, in words, where it is given. */
type Check = readonly [is: (value: unknown) => boolean, what: string]

export const aText: Check = [(value) => typeof value === 'string' && value !== '', 'a text that is not empty']
export const aFlag: Check = [(value) => typeof value === 'boolean', 'true or false']
export const aFunction: Check = [(value) => typeof value === 'function', 'a function']
export const aCount: Check = [(value) => Number.isSafeInteger(value) && Number(value) > 0, 'a whole number above 0']
export const milliseconds: Check = [
  (value) => Number.isSafeInteger(value) && Number(value) > 0 && Number(value) < 2 ** 31,
  'a whole number of milliseconds, from 1 to 2,147,483,647',
]

/** @throws StoreError `unusable`; a value is not repeated in it, since it may hold a password */
export function checkOptions(store: string, options: object, checks: Readonly<Record<string, Check>>): void {
  for (const [name, value] of Object.entries((options as object | null | undefined) ?? {})) {
    const [is, what] = checks[name] ?? [null, '']
    if (is === null)
      throw new StoreError('unusable', `${store} has no option '${name}': it takes ${Object.keys(checks).join(', ')}.`)
    if (value !== undefined && !is(value)) throw new StoreError('unusable', `The ${name} of ${store} must be ${what}.`)
  }
}
