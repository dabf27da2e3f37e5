/**
 * Follows a saga to its end as an EventSource does: a stream that ended may have been cut off, and only 204 says that nothing
 * more is to come.
 *
 * @param ask gives the answer to the last event that was seen
 * @returns the last status that was told; or what was answered instead
 */
export async function follow(
  ask: (lastEventId: string) => Promise<{ readonly status: number; readonly text: string }>,
): Promise<{ readonly ended: string } | { readonly answered: string }> {
  let [seen, ended] = ['0', '']
  for (;;) {
    const { status, text } = await ask(seen)
    if (status === 204) return { ended }
    if (status !== 200) return { answered: `${status}: ${text.slice(0, 200)}` }
    for (const [, id = '', data = ''] of text.matchAll(/^id: (\d+)\ndata: (.*)\n\n/gm)) {
      seen = id
      ended = (JSON.parse(data) as { status: string }).status
    }
  }
}
