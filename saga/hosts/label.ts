/**
 * Texts that only name things in lists and histories: what a business calls a saga, which message caused a move. Whatever
 * they hold, the saga must not suffer for it: databases refuse NUL and halves of surrogate pairs, and index no long texts.
 */

/** The most UTF-16 units that are kept. */
export const longestLabel = 200

/** Cut and cleaned, the same way on every store; what cannot be kept becomes U+FFFD. */
export function labelOf(text: string): string {
  const cut = text.length > longestLabel ? text.slice(0, longestLabel) : text
  // Most texts have neither pairs nor halves, which is told much faster.
  return /[\0\ud800-\udfff]/.test(cut) ? cut.replaceAll(/\0|\p{Surrogate}/gu, '\ufffd') : cut
}
