import type { SagaDefinition } from '../../core/definition.ts'
import { repliesOf } from '../../core/pending.ts'
import type { SagaState } from '../../core/state.ts'
import { labelOf } from '../label.ts'

/** What the business calls a saga, as it is kept; null where it has no name, or the definition fails to tell it. */
export function businessKeyOf(definition: SagaDefinition, state: SagaState): string | null {
  try {
    const label = definition.businessKey({ input: state.input, replies: repliesOf(definition, state) })
    return typeof label === 'string' || typeof label === 'number' ? labelOf(String(label)) : null
  } catch {
    return null // only a label for lists: a saga must not fail for it
  }
}
