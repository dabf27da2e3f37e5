/**
 * A saga that has ended, and whose version is declared in another way by now: nothing can move it any more, which is said at
 * once. (One that can still move needs its structure, so that no build with another is let start.)
 */
import type { Input } from '../../core/decide.ts'
import type { Event } from '../../core/events.ts'
import { stepNamed } from '../../core/pending.ts'
import type { SagaState, StepState } from '../../core/state.ts'
import { entriesOf } from '../../core/steps.ts'
import type { Problem } from '../../problem.ts'
import { named } from './registry.ts'

/** What an input causes; it is not written to the history. */
export function refusalOf(state: SagaState, input: Input): readonly Event[] {
  const why = `the saga has ended ${state.status}, and ${named(state)} is declared with other steps since: it cannot be moved any more`
  if (input.type === 'cancel' || input.type === 'act') {
    const { by, reason } = input
    return [{ type: 'RequestRefused', request: input.type === 'act' ? input.action.kind : input.type, why, by, reason }]
  }
  if (input.type === 'reply') return [{ type: 'ReplyIgnored', reply: input.reply.type, why }]
  return []
}

/** What a person must look at: an answer to a step that was undone without knowing whether it had taken effect. */
export function lateAnswerProblem(state: SagaState, input: Input): Problem | null {
  if (input.type !== 'reply') return null
  const { type, id, causationId } = input.reply
  const blind = entriesOf(state.steps)
    .filter(([, step]) => wasUndoneBlind(step))
    .map(([name]) => name)
  const steps = causationId === undefined ? blind : blind.filter((name) => name === stepNamed(state, causationId))
  if (steps.length === 0) return null
  return {
    what: `${type} came for saga ${state.id}, which has ended ${state.status}, and ${named(state)} is declared with other steps since. Step ${steps.join(' or ')} was undone without knowing its outcome: look at what it left behind, and undo it by hand`,
    needsPerson: true,
    sagaId: state.id,
    messageId: id,
  }
}

const wasUndoneBlind = ({ phase, blind, found }: StepState): boolean =>
  (phase === 'undone' || phase === 'skipped') && (blind === true || found !== undefined)
