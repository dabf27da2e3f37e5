/**
 * A saga's seed, from its id alone: what its jitter comes from is then the same on every host (FNV-1a over UTF-16 units;
 * spread matters here, secrecy does not).
 */
export function seedOf(sagaId: string): number {
  let hash = 0x811c_9dc5
  for (let at = 0; at < sagaId.length; at++) hash = Math.imul(hash ^ sagaId.charCodeAt(at), 0x0100_0193)
  return hash >>> 0
}
