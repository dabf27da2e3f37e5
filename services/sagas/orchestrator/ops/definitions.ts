/** The definitions that the store knows, by version, with their structure and how many sagas run under each. */
import type { Structure } from 'ordersaga/core'
import { z } from 'zod'
import type { Ops } from './ops.ts'
import { DefinitionView, opsRoute, tags } from './schemas.ts'

export function addOpsDefinitions({ server, store, ask }: Ops): void {
  server.get(
    '/ops/definitions',
    {
      ...opsRoute(),
      schema: {
        operationId: 'ops_list_definitions',
        tags,
        summary: 'Every definition and version, with its structure and its live sagas',
        response: { 200: z.object({ items: z.array(DefinitionView) }) },
      },
    },
    async () => {
      const [known, live] = await ask(() => Promise.all([store.definitions(), store.liveVersions()]))
      const counts = new Map(live.map(({ definition, version, count }) => [`${definition}@${version}`, count]))
      const items = known.map(({ definition, version, cancellable, structure }) => ({
        definition,
        version,
        live: counts.get(`${definition}@${version}`) ?? 0,
        cancellable,
        structure: structureView(JSON.parse(structure) as Structure),
      }))
      return { items: items.toSorted((a, b) => a.definition.localeCompare(b.definition) || b.version - a.version) }
    },
  )
}

const structureView = ({ steps, ...rest }: Structure): z.infer<typeof DefinitionView>['structure'] => ({
  ...rest,
  steps: steps.map((step) => ({ ...step })),
})
