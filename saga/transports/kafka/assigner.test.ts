import { AssignerProtocol, type Cluster, type PartitionMetadata } from 'kafkajs'
import { expect, test } from 'vitest'
import { assignBySubscription } from './assigner.ts'

/** What the assigner asks of a cluster: how many partitions each topic has, once it is asked for. */
function clusterOf(sizes: Readonly<Record<string, number>>) {
  const known = new Set<string>()
  const cluster: Pick<Cluster, 'addMultipleTargetTopics' | 'findTopicPartitionMetadata'> = {
    addMultipleTargetTopics: async (topics) => topics.forEach((topic) => known.add(topic)),
    findTopicPartitionMetadata: (topic) =>
      Array.from(
        { length: known.has(topic) ? (sizes[topic] ?? 0) : 0 },
        (_, n) => ({ partitionId: n }) as PartitionMetadata,
      ),
  }
  return cluster as Cluster
}

async function assign(sizes: Readonly<Record<string, number>>, subscriptions: Readonly<Record<string, string[]>>) {
  const assigner = assignBySubscription({ cluster: clusterOf(sizes), groupId: 'g', logger: null as never })
  const members = Object.entries(subscriptions).map(([memberId, topics]) => ({
    memberId,
    memberMetadata: assigner.protocol({ topics }).metadata,
  }))
  const assigned = await assigner.assign({ members, topics: subscriptions[Object.keys(subscriptions)[0] ?? ''] ?? [] })
  return Object.fromEntries(
    assigned.map(({ memberId, memberAssignment }) => [
      memberId,
      AssignerProtocol.MemberAssignment.decode(memberAssignment)?.assignment,
    ]),
  )
}

test('each member gets partitions of what it reads, and every partition has one reader', async () => {
  expect(await assign({ a: 3, b: 3 }, { m1: ['a'], m2: ['b'], m3: ['b'] })).toEqual({
    m1: { a: [0, 1, 2] },
    m2: { b: [1] },
    m3: { b: [0, 2] },
  })
})

test('members that read the same topics share them evenly', async () => {
  expect(await assign({ a: 3, b: 3 }, { m2: ['a', 'b'], m1: ['b', 'a'] })).toEqual({
    m1: { a: [0, 2], b: [1] },
    m2: { a: [1], b: [0, 2] },
  })
})

test('a member too many gets nothing', async () => {
  expect(await assign({ a: 1 }, { m1: ['a'], m2: ['a'] })).toEqual({ m1: { a: [0] }, m2: {} })
})
