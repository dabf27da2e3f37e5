import { installedPart, type PartName } from '../kit/private-part.ts'
import { suiteOn } from '../kit/parts.ts'
import { hosts, type HostName } from '../kit/hosts.ts'
import { systemContract } from './system.contract.ts'

async function allInstalled(parts: readonly PartName[]): Promise<true | null> {
  const found = await Promise.all(parts.map((part) => installedPart(part)))
  return found.includes(null) ? null : true
}

for (const [name, { parts }] of Object.entries(hosts)) {
  if (parts.length > 0)
    suiteOn(parts.join(' and '), await allInstalled(parts), `on servers of their own: ${name}`, () =>
      // Over a broker two processes of an orchestrator share the answers; by HTTP they come to one address.
      systemContract(name as HostName, parts.length > 1 ? 2 : 1),
    )
}
