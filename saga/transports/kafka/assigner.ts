/**
 * Deals the partitions of each topic to those members of the group that read it.
 *
 * The client's own assigners deal every topic of the leader to every member, also to those that do not read it, and leave
 * out the topics that the leader does not read. A group whose subscriptions have a consumer each (one saga reads the events
 * of several participants), or whose replicas are of two versions, would have partitions that nobody reads.
 */
import type { GroupMember, PartitionAssigner } from 'kafkajs'
import { kafkajs } from './driver.ts'

const { MemberMetadata, MemberAssignment } = kafkajs.AssignerProtocol

const name = 'ordersaga-by-subscription'
const version = 1

export const assignBySubscription: PartitionAssigner = ({ cluster }) => ({
  name,
  version,
  protocol: ({ topics }) => ({
    name,
    metadata: MemberMetadata.encode({ version, topics, userData: Buffer.alloc(0) }),
  }),
  async assign({ members }) {
    const readers = readersByTopic(members)
    await cluster.addMultipleTargetTopics([...readers.keys()]) // so that it knows their partitions
    const partitions = new Map(
      [...readers.keys()].map((topic) => [
        topic,
        cluster.findTopicPartitionMetadata(topic).map(({ partitionId }) => partitionId),
      ]),
    )
    const dealt = deal(readers, partitions)
    return members.map(({ memberId }) => ({
      memberId,
      memberAssignment: MemberAssignment.encode({
        version,
        assignment: dealt.get(memberId) ?? {},
        userData: Buffer.alloc(0),
      }),
    }))
  },
})

/** Members by the topics they read, each list in one order, whoever is the leader. */
function readersByTopic(members: readonly GroupMember[]): ReadonlyMap<string, readonly string[]> {
  const readers = new Map<string, string[]>()
  for (const { memberId, memberMetadata } of members) {
    for (const topic of MemberMetadata.decode(memberMetadata)?.topics ?? []) {
      readers.set(topic, [...(readers.get(topic) ?? []), memberId].toSorted())
    }
  }
  return readers
}

/** Each topic's partitions in turn to its readers; who begins changes with the topic, so that none gets all the surplus. */
function deal(
  readers: ReadonlyMap<string, readonly string[]>,
  partitions: ReadonlyMap<string, readonly number[]>,
): ReadonlyMap<string, Record<string, number[]>> {
  const dealt = new Map<string, Record<string, number[]>>()
  let turn = 0
  for (const [topic, ids] of [...readers].toSorted(([one], [other]) => (one < other ? -1 : 1))) {
    for (const partition of partitions.get(topic) ?? []) {
      const memberId = ids[turn++ % ids.length] ?? ''
      const own = dealt.get(memberId) ?? {}
      dealt.set(memberId, own)
      own[topic] = [...(own[topic] ?? []), partition]
    }
  }
  return dealt
}
