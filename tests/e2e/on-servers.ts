import { hosts, type HostName } from '../kit/hosts.ts'
import { suiteOn } from '../kit/parts.ts'
import { installedPart, type PartName } from '../kit/private-part.ts'
import { systemContract } from './system.contract.ts'

/** The contract on a host whose servers are its own. */
export async function systemOnServers(name: HostName): Promise<void> {
  const parts: readonly PartName[] = hosts[name].parts
  const found = await Promise.all(parts.map((part) => installedPart(part)))
  suiteOn(parts.join(' and '), found.includes(null) ? null : true, `on servers of their own: ${name}`, () =>
    // Over a broker two processes of an orchestrator share the answers; by HTTP they come to one address.
    systemContract(name, parts.length > 1 ? 2 : 1),
  )
}
