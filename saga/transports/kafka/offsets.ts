/**
 * The records of one partition that came to this member: which are settled, and up to where that can be committed (before
 * the oldest that is not).
 */
export class Offsets {
  /** In the order of the partition. */
  #open: { readonly offset: string; settled: boolean }[] = []
  #unsettled = 0
  /** The newest that came. */
  #last: bigint | null = null
  /** Where reading began, or goes on after the last commit: nothing older comes again. */
  #floor: bigint | null = null
  #next: string | null = null
  #committed: string | null = null

  /** Records that came and are in hand. Those that only wait for an older one to be committed are not counted. */
  get unsettled(): number {
    return this.#unsettled
  }

  /**
   * Whether the record came before: after the partitions are dealt anew, a member is given again what it has not committed.
   * One from before that means that the topic was made anew, and counts from its beginning.
   */
  knows(offset: string): boolean {
    const at = BigInt(offset)
    if (this.#last === null || this.#floor === null || at > this.#last) return false
    if (at >= this.#floor) return true
    this.#open = []
    this.#unsettled = 0
    this.#last = this.#floor = this.#next = this.#committed = null
    return false
  }

  /** @returns what to call when the record is settled */
  came(offset: string): () => void {
    const record = { offset, settled: false }
    const open = this.#open
    open.push(record)
    this.#unsettled++
    this.#last = BigInt(offset)
    this.#floor ??= this.#last
    return () => {
      if (record.settled) return
      record.settled = true
      if (open !== this.#open) return
      this.#unsettled--
      this.#advance()
    }
  }

  /** What to commit: the offset to go on from. Null where that is committed already. */
  get due(): string | null {
    return this.#next === this.#committed ? null : this.#next
  }

  committed(offset: string): void {
    this.#committed = offset
    this.#floor = BigInt(offset)
  }

  #advance(): void {
    let settled = 0
    while (this.#open[settled]?.settled === true) settled++
    const last = this.#open.splice(0, settled).at(-1)
    if (last !== undefined) this.#next = String(BigInt(last.offset) + 1n)
  }
}
