/**
 * What a definition fixes for the sagas that run under it: steps, their order and groups, contracts, pivot, undos, how an
 * unknown is settled. A saga that began under one structure cannot go on under another: a step that was done might never be
 * undone, or be done twice. Payload functions, schemas and timings are no part of it: they may change.
 */
import { answerTypes, type CommandContract } from '../core/contract.ts'
import type { SagaDefinition, StepDefinition, StepStructure, Structure } from '../core/definition.ts'

export function structureOf(definition: Pick<SagaDefinition, 'steps' | 'cancelDecidedBy' | 'follows'>): Structure {
  return {
    steps: definition.steps.map(stepStructure),
    cancelDecidedBy: definition.cancelDecidedBy,
    follows: definition.follows.map(({ event, reaction }) =>
      reaction.kind === 'cancel' ? `${event.type} cancels` : `${event.type} asks ${reaction.step} again`,
    ),
  }
}

const stepStructure = (step: StepDefinition): StepStructure => ({
  name: step.name,
  stage: step.stage,
  place: step.place,
  do: commandText(step.do),
  undo: commandText(step.undo),
  query: commandText(step.query),
  event: step.event?.type ?? null,
  effect: step.effect,
  onUnknown: step.onUnknown,
  onRejected: step.onRejected,
  onExhausted: step.onExhausted,
})

/** Names what is sent and which answers are read. */
function commandText(command: CommandContract | null): string | null {
  if (command === null) return null
  const { participant, type, answered, rejectedInPart, commandChannel, eventChannel } = command
  const answers = answerTypes(command).join(' or ')
  const usual = commandChannel === `${participant}_commands` && eventChannel === `${participant}_events`
  return `${participant}.${type}${answers === '' ? '' : ` (${answers})`}${answered ? '' : ', sent only'}${rejectedInPart ? ', rejected in part' : ''}${usual ? '' : ` by ${commandChannel} and ${eventChannel}`}`
}

/** A short name for a structure, kept with each saga (FNV-1a, twice 32 bits; spread matters here, secrecy does not). */
export function structureKey(structure: Structure): string {
  const text = JSON.stringify(structure)
  return fnv(text, 0x811c9dc5) + fnv(text, 0x050c5d1f)
}

function fnv(text: string, basis: number): string {
  let hash = basis
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
  return (hash >>> 0).toString(16).padStart(8, '0')
}
