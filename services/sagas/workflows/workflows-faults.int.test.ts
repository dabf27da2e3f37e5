/**
 * Accept Order and Complete Order where workers and Temporal's server die, answers are lost, and sagas need a person. After each an
 * audit of orders, payments, books, timers and workflows finds nothing wrong. Each test has services and a namespace of its own, or
 * a server where that is killed. That is away for a minute, in which the others run.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { Client, Connection } from '@temporalio/client'
import { beforeAll, describe, expect, test, type TestContext } from 'vitest'
import { builtMain } from '../../../tests/kit/built.ts'
import { startChild, type Child } from '../../../tests/kit/child.ts'
import { suiteOn, temporalAddress } from '../../../tests/kit/parts.ts'
import { installedPart, startPrivatePart } from '../../../tests/kit/private-part.ts'
import { newFolder } from '../../shared/testing/ask.ts'
import { call } from '../../shared/testing/call.ts'
import { freshNamespace } from './namespace.testkit.ts'
import {
  asked,
  begin,
  endsOf,
  endWell,
  isStep,
  openTriggers,
  rule,
  runOf,
  sagaNames,
  steps,
  type Run,
  type SagaName,
  type Triggers,
} from './runs.testkit.ts'
import type { TemporalTarget } from './temporal.ts'
import { bundled } from './worker.ts'
import {
  acceptOrderWorker,
  audited,
  completeOrderWorker,
  hastyWorkers,
  opening,
  otherRunner,
  startPlace,
  statusOf,
  until,
  waitingWorkers,
  wiredUrls,
  works,
  type Place,
} from './workflows.testkit.ts'

const both = ['complete', 'accept'] as const

/** Our services and triggers, on a namespace or a server of a test's own. */
interface World {
  readonly place: Place
  readonly temporal: TemporalTarget
  readonly client: Client
  readonly triggers: Triggers
}

type Kept = ReturnType<typeof opening>['kept']

/** What a test opens is closed after it. */
function keeping({ onTestFinished }: TestContext): Kept {
  const { kept, closeAll } = opening()
  onTestFinished(closeAll)
  return kept
}

async function triggersIn(kept: Kept, temporal: TemporalTarget, place: Place): Promise<Triggers> {
  const triggers = await openTriggers(temporal, place)
  for (const saga of both) await kept(Promise.resolve(triggers[saga]))
  return triggers
}

async function worldOn(kept: Kept, address: string): Promise<World> {
  const place = await kept(startPlace())
  const { target: temporal, client } = await kept(freshNamespace(address))
  return { place, temporal, client, triggers: await triggersIn(kept, temporal, place) }
}

/** The list of workflows is a moment behind. @param before acceptances that came to nothing before those of the runs */
const nothingIsWrong = ({ place, client }: World, runs: readonly Run[], before = {}): Promise<void> =>
  until(async () =>
    expect(await audited(place, client)).toMatchObject({
      problems: [],
      deliveries: endsOf(runs, 'complete'),
      acceptances: { ...endsOf(runs, 'accept'), ...before },
    }),
  )

const runsOf = (place: Place, saga: SagaName, count: number): Promise<readonly Run[]> =>
  Promise.all(Array.from({ length: count }, () => runOf(place, saga)))

const paths: Readonly<Record<SagaName, string>> = { complete: '/triggerCompleteOrderWorkflow', accept: '/acceptOrder' }

const parkedOf = (body: unknown): string => (body as { readonly parked: string }).parked

/** Longer than any pause between two tries to reach a server, of clients and of workers. */
const outageMs = 61_000

/** A server for all tests, and one to be killed. */
const server = (await installedPart('temporal')) === null ? null : await temporalAddress()

suiteOn('Temporal', server, 'sagas on Temporal where something fails', (address) => {
  // All workers of this process have them from here: made while tests run, they would keep these from what they wait for.
  beforeAll(async () => {
    for (const file of [
      'accept-order-workflow/workflows.ts',
      'complete-order-workflow/workflows.ts',
      'workflows/hasty-workflows.testkit.ts',
    ])
      await bundled(new URL(`../${file}`, import.meta.url))
  })

  /** One after the other, beside the suite below. */
  const alone = { concurrent: false, timeout: 300_000 }

  describe.concurrent('where workers die, and people are needed', () => {
    /** A worker in a process of its own, which takes workflows. */
    async function workerProcess(kept: Kept, { place, temporal }: World, saga: SagaName): Promise<Child> {
      const { order, user, payment, timer } = wiredUrls(place)
      const lines: string[] = []
      const child = startChild(
        builtMain,
        [`${saga}-order-worker`],
        {
          TEMPORAL_GRPC_ENDPOINT: temporal.address,
          TEMPORAL_NAMESPACE: temporal.namespace,
          COMPLETE_ORDER_WORKER_PORT: '0',
          ACCEPT_ORDER_WORKER_PORT: '0',
          ORDERSAGA_DIR: newFolder(),
          ORDER_SERVICE_URL: order,
          USER_SERVICE_URL: user,
          PAYMENT_SERVICE_URL: payment,
          SCHEDULER_SERVICE_URL: timer,
        },
        (line) => void lines.push(line),
      )
      await kept(Promise.resolve({ close: () => child.kill() }))
      await until(() => expect(lines.join('\n'), child.tail()).toContain('ready: workflows are taken'))
      return child
    }

    test(
      'workers killed at every step, before and after its effect: others go on, and nothing is done twice',
      alone,
      async (context) => {
        const kept = keeping(context)
        const world = await worldOn(kept, address)
        const { place, triggers, client } = world
        const workers = Promise.all(both.map((saga) => workerProcess(kept, world, saga)))
        const held = new Set<string>()
        const points = await Promise.all(
          both.flatMap((saga) =>
            steps[saga].flatMap(({ name, kind }) =>
              (kind === 'read' ? (['held before'] as const) : (['held before', 'held after'] as const)).map(
                async (fate) => ({
                  name,
                  fate,
                  // What asks about a runner does not name the order.
                  run: await runOf(place, saga, kind === 'undo', ...(name === 'connect' ? [otherRunner] : [])),
                }),
              ),
            ),
          ),
        )
        const runs = points.map(({ run }) => run)
        rule(place, runs, (passed) => {
          const point = points.find(({ run, name }) => !held.has(run.orderId) && isStep(run, name, passed))
          if (point === undefined) return null
          held.add(point.run.orderId)
          return point.fate
        })
        await begin(triggers, runs)
        const first = await workers
        await until(() => {
          const missing = points.filter(({ run }) => !held.has(run.orderId)).map(({ name, fate }) => `${name} ${fate}`)
          expect(missing, first.map((child) => child.tail()).join('\n')).toEqual([])
        })
        for (const child of first) await child.kill()
        await Promise.all(both.map((saga) => workerProcess(kept, world, saga)))
        await endWell(place, client, runs)
        await nothingIsWrong(world, runs)
      },
    )

    test(
      'two workers each, one of which leaves; the answer to every change lost once after its effect',
      alone,
      async (context) => {
        const kept = keeping(context)
        const world = await worldOn(kept, address)
        const { place, temporal, triggers, client } = world
        const urls = wiredUrls(place)
        const leaving = await Promise.all([completeOrderWorker(temporal, urls), acceptOrderWorker(temporal, urls)])
        await Promise.all([kept(completeOrderWorker(temporal, urls)), kept(acceptOrderWorker(temporal, urls))])
        const runs = [...(await runsOf(place, 'complete', 8)), ...(await runsOf(place, 'accept', 8))]
        const lost = new Set<string>()
        rule(place, runs, ({ method, path, key, body }) => {
          const change = `${path} ${key} ${body}`
          if (method === 'GET' || lost.has(change)) return null
          lost.add(change)
          return 'lost'
        })
        await begin(triggers, runs)
        for (const worker of leaving) await worker.close()
        await endWell(place, client, runs)
        // Delivered, released and completed; accepted, and its timer stopped.
        expect(lost.size).toBe(3 * 8 + 2 * 8)
        await nothingIsWrong(world, runs)
      },
    )

    test(
      'a saga that needs a person is found in the list, the trigger says so, and an update of its workflow goes on with it',
      alone,
      async (context) => {
        const kept = keeping(context)
        const world = await worldOn(kept, address)
        const { place, triggers, client } = world
        for (const worker of await hastyWorkers(world.temporal, wiredUrls(place))) await kept(Promise.resolve(worker))
        const stuck = { complete: await runOf(place, 'complete', true), accept: await runOf(place, 'accept', true) }
        const [unknown, givenUp] = [await runOf(place, 'accept'), await runOf(place, 'accept')]
        const runs = [stuck.complete, stuck.accept, unknown, givenUp]
        const idOf = ({ saga, orderId }: Run): string => sagaNames[saga].idOf(orderId)
        const handleOf = (run: Run) => client.workflow.getHandle(idOf(run))
        // Undos are refused; nobody hears whether these two were accepted.
        rule(place, runs, (passed) => {
          if (isStep(stuck.complete, 'revert', passed) || isStep(stuck.accept, 'clear', passed)) return 'refused'
          return isStep(unknown, 'accept', passed) || isStep(givenUp, 'accept', passed) ? 'away' : null
        })
        await begin(triggers, runs)

        const parked = async (): Promise<readonly string[]> => {
          const found: string[] = []
          for await (const { workflowId } of client.workflow.list({ query: "SagaStatus = 'PARKED'" }))
            found.push(workflowId)
          return found.toSorted()
        }
        await until(async () => expect(await parked()).toEqual(runs.map(idOf).toSorted()))
        for (const run of runs) {
          const why = run.isUndone ? /^(release|accept): .*refused on the wire/ : /^accept: /
          const needed = { status: 'RUNNING', parked: expect.stringMatching(why) as unknown }
          const { body } = await call('GET', `${triggers[run.saga].url}${paths[run.saga]}/${run.orderId}`)
          expect(body).toMatchObject(needed)
          const again = await asked(triggers, run)
          expect([again.status, again.body]).toMatchObject([
            200,
            { message: `Workflow triggered before: it is RUNNING, and needs an operator: ${parkedOf(body)}` },
          ])
        }

        rule(place, runs, () => null)
        await handleOf(givenUp).cancel()
        const act = async (run: Run, kind: string, by = 'ann'): Promise<unknown> =>
          handleOf(run).executeUpdate('act', { args: [{ kind }, by, 'the service is mended'] })
        const refused = (why: RegExp) => ({ cause: { message: expect.stringMatching(why) as unknown } })
        await expect(act(unknown, 'retry', '')).rejects.toMatchObject(refused(/by, who asks, must be a text/))
        await expect(act(unknown, 'mend')).rejects.toMatchObject(refused(/there is no action "mend"; use retry, skip/))
        for (const run of [stuck.complete, stuck.accept, unknown])
          expect(await act(run, 'retry')).toMatchObject({ accepted: true, reason: null })
        await endWell(place, client, [stuck.complete, stuck.accept, unknown])
        // Asked to cancel, it still waits for a person; given up, it may be begun again.
        await until(async () => expect(await parked()).toEqual([idOf(givenUp)]))
        expect(await act(givenUp, 'giveUp')).toMatchObject({ accepted: true })
        await until(async () => expect(await statusOf(client, idOf(givenUp))).toBe('FAILED'))
        await begin(triggers, [givenUp])
        await endWell(place, client, [givenUp])
        await until(async () => expect(await parked()).toEqual([]))
        await nothingIsWrong(world, runs, { FAILED: 1 })
      },
    )
  })

  describe.concurrent('where the server dies', () => {
    test('killed with sagas at every step, away for a minute, in which more workers and triggers start, and back on its file', async (context) => {
      const kept = keeping(context)
      const server = await startPrivatePart('temporal')
      await kept(Promise.resolve({ close: () => server.remove() }))
      const temporal = { address: server.url, namespace: 'default' }
      const client = new Client({ connection: Connection.lazy({ address: server.url }) })
      await kept(Promise.resolve(client.connection))
      const place = await kept(startPlace())
      const triggers = await triggersIn(kept, temporal, place)
      const world = { place, temporal, client, triggers }
      await Promise.all([
        kept(completeOrderWorker(temporal, wiredUrls(place))),
        kept(acceptOrderWorker(temporal, wiredUrls(place))),
      ])
      const at = await Promise.all(
        both.flatMap((saga) =>
          steps[saga].map(async ({ name, kind }) => ({
            name,
            run: await runOf(place, saga, kind === 'undo', ...(name === 'connect' ? [otherRunner] : [])),
          })),
        ),
      )
      const runs = at.map(({ run }) => run)
      const seen = new Set<string>()
      rule(place, runs, (passed) => {
        const point = at.find(({ run, name }) => isStep(run, name, passed))
        if (point === undefined) return null
        seen.add(point.run.orderId)
        return 'away'
      })
      await begin(triggers, runs)
      await until(() => expect(at.filter(({ run }) => !seen.has(run.orderId)).map(({ name }) => name)).toEqual([]))

      await server.kill()
      const killedAt = performance.now()
      rule(place, runs, () => null)
      const early = await triggersIn(kept, temporal, place)
      const late = await waitingWorkers(temporal, wiredUrls(place))
      for (const worker of late) await kept(Promise.resolve(worker))
      const more = [await runOf(place, 'complete'), await runOf(place, 'accept')]
      for (const run of more)
        for (const each of [triggers, early]) {
          const { status, headers, body } = await asked(each, run)
          expect([status, headers.get('retry-after'), body]).toEqual([
            500,
            '2',
            { error: expect.stringContaining('Send the request again in a moment') as unknown },
          ])
        }
      const health = async (service: { readonly url: string }, what: string): Promise<number> =>
        (await call('GET', `${service.url}/health/${what}`)).status
      for (const service of [...late, ...Object.values(early)])
        expect([await health(service, 'live'), await health(service, 'ready')]).toEqual([200, 503])
      await pause(killedAt + outageMs - performance.now())

      await server.start()
      for (const worker of late) await works(worker)
      for (const run of more) await until(async () => expect((await asked(early, run)).status).toBe(200))
      await endWell(place, client, [...runs, ...more])
      for (const saga of both) {
        const run = await runOf(place, saga)
        more.push(run)
        await begin(triggers, [run])
      }
      await endWell(place, client, more)
      await nothingIsWrong(world, [...runs, ...more])
    }, 300_000)
  })
})
