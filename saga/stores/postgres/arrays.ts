/**
 * Arrays in PostgreSQL's binary format, for the columns of a batch: JSON full of quotes would have to be escaped here
 * and unescaped there, letter by letter, in the text format.
 */
const textOid = 25
const int8Oid = 20
const headerBytes = 20

/** Dimensions, whether there are nulls, the elements' type; then how many elements, numbered from 1. */
function header(array: Buffer, oid: number, length: number, nulls: boolean): void {
  array.writeInt32BE(1, 0)
  array.writeInt32BE(nulls ? 1 : 0, 4)
  array.writeInt32BE(oid, 8)
  array.writeInt32BE(length, 12)
  array.writeInt32BE(1, 16)
}

export function textArray(values: readonly (string | null)[]): Buffer {
  const sizes = values.map((value) => (value === null ? 0 : Buffer.byteLength(value)))
  const array = Buffer.allocUnsafe(sizes.reduce((sum, size) => sum + 4 + size, headerBytes))
  header(array, textOid, values.length, values.includes(null))
  let offset = headerBytes
  for (const [index, value] of values.entries()) {
    const size = sizes[index] ?? 0
    offset = array.writeInt32BE(value === null ? -1 : size, offset)
    if (value !== null) offset += array.write(value, offset, size, 'utf8')
  }
  return array
}

/** Whole numbers up to 2^53. */
export function int8Array(values: readonly number[]): Buffer {
  const array = Buffer.allocUnsafe(headerBytes + 12 * values.length)
  header(array, int8Oid, values.length, false)
  let offset = headerBytes
  for (const value of values) {
    offset = array.writeInt32BE(8, offset)
    const high = Math.floor(value / 2 ** 32)
    offset = array.writeInt32BE(high, offset)
    offset = array.writeUInt32BE(value - high * 2 ** 32, offset)
  }
  return array
}
