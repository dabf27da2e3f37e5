/**
 * What a reader has of one partition: which records are in hand, and up to where all are settled. Only that far may be
 * committed.
 */
export class Partition {
  readonly number: number
  /** Offsets of records that came and are not settled. */
  readonly #open = new Set<number>()
  /** Of the record to take next. */
  #next: number
  #position: number
  #dealtAnew = false
  /** What the group goes on from after a crash, as far as this reader knows. */
  committed: number
  /** Others read it now: what is still in hand is theirs. */
  lost = false
  /** Nothing is fetched until there is room again. */
  paused = false

  /** @param offset of the first record that came */
  constructor(number: number, offset: number) {
    this.number = number
    this.#next = this.#position = this.committed = offset
  }

  /** Records in hand. */
  get inHand(): number {
    return this.#open.size
  }

  /** The first offset that is not settled; all before it are. (Offsets have gaps.) */
  get position(): number {
    while (this.#position < this.#next && !this.#open.has(this.#position)) this.#position++
    return this.#position
  }

  /** How much would come again after a crash. */
  get width(): number {
    return this.#next - this.position
  }

  /** The group has dealt its partitions anew, and left this one here. */
  keep(): void {
    this.#dealtAnew = true
  }

  /**
   * False where a batch that begins there does not follow: others had the partition and read on from what is in hand here,
   * or the log has been made anew and counts from its beginning.
   */
  follows(offset: number): boolean {
    const readOn = this.#dealtAnew && this.inHand > 0 && offset > this.position
    this.#dealtAnew = false
    return offset >= this.committed && !readOn
  }

  /** @returns false for a record that came before: after partitions were dealt anew, the last ones come again */
  take(offset: number): boolean {
    if (offset < this.#next) return false
    this.#next = offset + 1
    this.#open.add(offset)
    return true
  }

  settle(offset: number): void {
    this.#open.delete(offset)
  }
}
