/** Tells how a saga came to where a promise broke: one readable line for each thing that happened. */
import type { Event } from '../../core/events.ts'
import type { Node, Occurred } from './explore.ts'
import type { Beliefs } from './network.ts'
import type { Broken } from './promises.ts'

/** @param path the nodes from the first to the last */
export function storyOf(
  path: readonly Node[],
  network: readonly (Beliefs | null)[],
  broken: Broken,
): readonly string[] {
  const unseen = network.map((beliefs, step) => {
    const last = step === broken.step ? broken.record : undefined
    return beliefs === null ? [] : unseenAt(beliefs, step, path, last)
  })
  return path.flatMap(({ happening, events }, at) => {
    const consequences = events.flatMap(told)
    const line = [
      happening?.tells ?? 'the saga starts',
      ...(consequences.length === 0 ? [] : [consequences.join(', ')]),
    ]
    return [line.join(': '), ...unseen.flatMap((lines) => lines[at] ?? [])]
  })
}

/** A record, the one before it, and what happened unseen between them. */
interface Trace {
  readonly record: string
  readonly before: Trace | null
  readonly tells: string | null
  /** Where on the path it comes about. */
  readonly at: number
}

/** What happened unseen at a step's participant after each node, so that in the end it stands there as given, or anyhow. */
function unseenAt(
  beliefs: Beliefs,
  step: number,
  path: readonly Node[],
  last: string | undefined,
): readonly (readonly string[])[] {
  let traces = new Map<string, Trace>()
  const first = beliefs.participant.first
  traces.set(first, { record: first, before: null, tells: null, at: 0 })
  path.forEach(({ occurred }, at) => {
    traces = occurred.filter((each) => each.step === step).reduce((all, each) => seen(beliefs, all, each, at), traces)
    // Only at the end it counts what happens after the last thing seen.
    if (at < path.length - 1 || last !== undefined) unfold(beliefs, traces, at)
  })
  const end = last === undefined ? [...traces.values()][0] : traces.get(last)
  const lines: string[][] = path.map(() => [])
  for (let trace = end ?? null; trace !== null; trace = trace.before)
    if (trace.tells !== null) lines[trace.at]?.unshift(trace.tells)
  return lines
}

function seen(
  { participant }: Beliefs,
  traces: ReadonlyMap<string, Trace>,
  { occurrence }: Occurred,
  at: number,
): Map<string, Trace> {
  const found = new Map<string, Trace>()
  for (const before of traces.values()) {
    const record = participant.after(before.record, occurrence)
    if (record !== null && !found.has(record)) found.set(record, { record, before, tells: null, at })
  }
  return found
}

/** Adds what may come about unseen; a map gives what is added while it is read. */
function unfold({ participant }: Beliefs, traces: Map<string, Trace>, at: number): void {
  for (const [record, before] of traces)
    for (const { to, tells } of participant.moves(record))
      if (!traces.has(to)) traces.set(to, { record: to, before, tells, at })
}

/** What a person would say of an event; nothing of those that only lead to the next. */
function told(event: Event): readonly string[] {
  switch (event.type) {
    case 'StepAsked':
      return [event.attempt === 1 ? `${event.step} is asked` : `${event.step} is asked again`]
    case 'StepQueried':
      return [`it is asked what became of ${event.step}`]
    case 'StepDone':
      return [`${event.step} is done`]
    case 'StepRejected':
      return [`${event.step} is rejected`]
    case 'StepUnknown':
      return [event.retryAt === null ? `${event.step} stays unknown` : `${event.step} is unknown`]
    case 'StepSkipped':
      return [`${event.step} is left out`]
    case 'UndoAsked':
      return [`the undo of ${event.step} is asked for`]
    case 'UndoFailed':
      return [`the undo of ${event.step} fails`]
    case 'UndoDone':
      return [`${event.step} is undone`]
    case 'EffectFound':
      return [`an effect of ${event.step} is found`]
    case 'EventKept':
      return [`${event.event.type} is kept`]
    case 'EventFollowed':
      return [`${event.event.type} has its consequence`]
    case 'ReplyIgnored':
      return [`${event.reply} is ignored, since ${event.why}`]
    case 'SagaParked':
      return [`it parks: ${event.reason}`]
    case 'SagaReopened':
      return ['it goes on']
    case 'SagaResumed':
      return ['it is resumed']
    case 'CancelRefused':
      return ['the cancel is refused']
    case 'CompensationStarted':
    case 'CancelStarted':
      return ['it turns back']
    case 'SagaCompleted':
    case 'SagaCompensated':
    case 'SagaCancelled':
    case 'SagaFailed':
      return [`it is ${event.type.slice('Saga'.length).toUpperCase()}`]
    default:
      return []
  }
}
