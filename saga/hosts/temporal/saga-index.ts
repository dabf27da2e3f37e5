/** What Temporal's own lists show of sagas: search attributes, where the namespace has them, and why one is parked. */
import type { Client } from '@temporalio/client'
import type { SagaDefinition } from '../../core/definition.ts'
import { attributes, memo as fields } from './protocol.ts'

/** As the client takes it. */
export type KeywordAttribute = {
  readonly key: { readonly name: string; readonly type: 'KEYWORD' }
  readonly value: string
}

/** Why a saga needs a person, from the memo of its workflow; null where none needs one. */
export function parkedIn(memo: Readonly<Record<string, unknown>> | undefined): string | null {
  const parked = memo?.[fields.parked]
  return typeof parked === 'string' ? parked : null
}

export class SagaIndex {
  readonly #client: Client
  #isThere: Promise<boolean> | null = null

  constructor(client: Client) {
    this.#client = client
  }

  /**
   * Of a saga that is started now; null where the namespace has none, or does not say. It takes no longer than the deadline under
   * which it is asked (`client.withDeadline`), which is best that of the start itself.
   */
  async attributesOf(
    { name }: Pick<SagaDefinition, 'name'>,
    businessKey: string | null,
  ): Promise<KeywordAttribute[] | null> {
    if (!(await this.#ask())) return null
    return [
      [attributes.definition, name],
      [attributes.status, 'STARTED'],
      [attributes.businessKey, businessKey],
    ].flatMap(([attribute, value]): KeywordAttribute[] =>
      attribute == null || value == null ? [] : [{ key: { name: attribute, type: 'KEYWORD' }, value }],
    )
  }

  /** Asked once, and again where that was not answered. */
  #ask(): Promise<boolean> {
    return (this.#isThere ??= this.#look().catch(() => {
      this.#isThere = null
      return false
    }))
  }

  async #look(): Promise<boolean> {
    const { connection, options } = this.#client
    const { namespace } = options
    const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace })
    return Object.values(attributes).every((name) => name in customAttributes)
  }
}
