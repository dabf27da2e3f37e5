/** Tells the owner of the process what moved and what an operator should know. A hook that throws, or rejects, harms nothing. */
import type { Event } from '../../core/events.ts'
import type { SagaState } from '../../core/state.ts'
import { guarded, problemReporter, type OnProblem } from '../../problem.ts'
import type { HistoryEntry } from '../../stores/store.ts'
import type { EngineOptions } from './engine.ts'

export class Hooks {
  readonly onProblem: OnProblem
  readonly #onMove: EngineOptions['onMove']

  constructor({ onProblem, onMove }: Pick<EngineOptions, 'onProblem' | 'onMove'>) {
    this.onProblem = problemReporter(onProblem)
    this.#onMove = onMove
  }

  moved(state: SagaState, entries: readonly HistoryEntry[]): void {
    for (const entry of entries) {
      for (const event of entry.events) this.#tell(state, event)
      this.#show(state, entry)
    }
  }

  #show(state: SagaState, entry: HistoryEntry): void {
    const onMove = this.#onMove
    if (onMove === undefined) return
    guarded(
      () => onMove({ ...entry, state }),
      (cause) => this.onProblem({ what: 'the onMove hook failed', needsPerson: false, sagaId: state.id, cause }),
    )
  }

  #tell({ id, definition, version }: SagaState, event: Event): void {
    const saga = `saga ${id} (${definition} version ${version})`
    if (event.type === 'SagaParked')
      this.onProblem({
        what: `${saga} is parked at step ${event.step}: ${event.reason}. Look at it, then retry, skip, resolve or give up`,
        needsPerson: true,
        sagaId: id,
      })
    else if (event.type === 'StepUnknown' && event.retryAt === null)
      this.onProblem({
        what: `${saga} has tried step ${event.step} in vain, and what became of it is not known: ${event.reason}. Does its participant run, and read the channel?`,
        needsPerson: false,
        sagaId: id,
      })
    else if (event.type === 'EffectRepeated')
      this.onProblem({
        what: `${saga} has had one more effect at step ${event.step}, whose command was repeated: ${JSON.stringify(event.reply)}. It is undone if the saga is; else undo it by hand`,
        needsPerson: true,
        sagaId: id,
      })
    else if (event.type === 'ReplyIgnored' && event.contradicts !== undefined)
      this.onProblem({ what: `${saga}: ${event.why}. Undo it by hand`, needsPerson: true, sagaId: id })
    else if (event.type === 'ReplyIgnored' && event.step !== undefined)
      this.onProblem({
        what: `${saga} waits at step ${event.step}, since of ${event.reply} ${event.why}`,
        needsPerson: false,
        sagaId: id,
      })
  }
}
