import { afterAll, beforeAll } from 'vitest'
import { suiteOn } from '../../tests/kit/parts.ts'
import { installedPart, startPrivatePart, type PrivatePart } from '../../tests/kit/private-part.ts'
import { documentsContract } from './documents.contract.ts'
import { services } from './registry.ts'

// What is started there runs on: no other suite is to find it.
suiteOn('Temporal', await installedPart('temporal'), 'the processes of sagas on Temporal', (part) => {
  let server: PrivatePart | undefined
  beforeAll(async () => {
    server = await startPrivatePart(part)
  })
  afterAll(() => server?.remove())

  documentsContract(
    services.filter(({ keeps }) => keeps === 'workflows'),
    () => ({ TEMPORAL_GRPC_ENDPOINT: server?.url ?? '' }),
  )
})
