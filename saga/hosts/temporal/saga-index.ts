/** The search attributes by which Temporal's own lists find sagas, where the namespace has them. */
import type { Client } from '@temporalio/client'
import type { SagaDefinition } from '../../core/definition.ts'
import { attributes } from './protocol.ts'

/** As the client takes it. */
export type KeywordAttribute = {
  readonly key: { readonly name: string; readonly type: 'KEYWORD' }
  readonly value: string
}

export class SagaIndex {
  readonly #client: Client
  readonly #answerMs: number
  #isThere: Promise<boolean> | null = null

  constructor(client: Client, answerMs: number) {
    this.#client = client
    this.#answerMs = answerMs
  }

  /** Of a saga that is started now; null where the namespace has none, or does not say. */
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
    const { customAttributes } = await this.#client.withDeadline(Date.now() + this.#answerMs, () =>
      connection.operatorService.listSearchAttributes({ namespace: options.namespace }),
    )
    return Object.values(attributes).every((name) => name in customAttributes)
  }
}
