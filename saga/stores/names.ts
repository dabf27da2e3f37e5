/** The texts that a store finds things by. */
import type { DefinitionVersion, HandedInput, Move, Start } from './store.ts'
import { StoreError } from './store.ts'

/** Text columns hold no NUL and no half of a surrogate pair (in JSON both are escaped). */
export const isStorable = (text: string | null): boolean =>
  // Most texts have neither pairs nor halves, which is told much faster.
  text === null || !/[\0\ud800-\udfff]/.test(text) || !/\0|\p{Surrogate}/u.test(text)

/**
 * Databases differ in what they make of such texts: some refuse, some keep another text, under which nothing is found.
 *
 * @throws StoreError `refused`
 */
export function refuseOddNames({ starts, moves }: { starts: readonly Start[]; moves: readonly Move[] }): void {
  for (const { saga, entry } of starts) {
    const { id, definition, owner, key, fingerprint, businessKey } = saga
    refuseOdd(id, 'id', id)
    refuseOdd(id, 'definition', definition)
    refuseOdd(id, 'owner', owner)
    refuseOdd(id, 'key', key)
    refuseOdd(id, 'fingerprint', fingerprint)
    refuseOdd(id, 'business key', businessKey)
    refuseOdd(id, 'input id', entry.inputId)
  }
  for (const { id, owner, businessKey, entries } of moves) {
    refuseOdd(id, 'owner', owner)
    refuseOdd(id, 'business key', businessKey)
    for (const { inputId } of entries) refuseOdd(id, 'input id', inputId)
  }
}

function refuseOdd(id: string, field: string, text: string | null): void {
  if (!isStorable(text)) throw odd(`The ${field} of saga ${JSON.stringify(id)}, ${JSON.stringify(text)},`)
}

const odd = (what: string): StoreError =>
  new StoreError('refused', `${what} has a NUL or half a surrogate pair in it. Leave it out.`)

/** @throws StoreError `refused` */
export function refuseOddInputs(inputs: readonly HandedInput[]): void {
  for (const { sagaId, inputId } of inputs) {
    refuseOdd(sagaId, 'id', sagaId)
    refuseOdd(sagaId, 'input id', inputId)
  }
}

/** @throws StoreError `refused` */
export function refuseOddDefinitions(owner: string, definitions: readonly DefinitionVersion[]): void {
  for (const text of [owner, ...definitions.map(({ definition }) => definition)])
    if (!isStorable(text)) throw odd(`The name ${JSON.stringify(text)}`)
}

/** What such a text names is nowhere. */
export const areStorable = ({ sagaId, inputId }: Omit<HandedInput, 'input'>): boolean =>
  isStorable(sagaId) && isStorable(inputId)
