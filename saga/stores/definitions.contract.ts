/** What every store promises of identity, definitions, inputs that are handed over, and of its one engine. */
import { describe, expect, test, vi } from 'vitest'
import type { Input } from '../core/decide.ts'
import { startOf, testVersions, watcherOf, type SagaOverrides } from './sagas.testkit.ts'
import type { DefinitionVersion, HandedInput, KnownDefinition, Store } from './store.ts'

export interface Opened {
  readonly store: () => Store
  /** Once more: as another process (a shared store), or the same one again. */
  readonly open: () => Promise<Store>
  readonly reopen: () => Promise<Store>
  /** Another place. */
  readonly elsewhere: (work: (store: Store) => Promise<void>) => Promise<void>
  readonly durable: boolean
  readonly shared: boolean
}

const minute = 60_000
const ids = (inputs: readonly Omit<HandedInput, 'input'>[]): string[] => inputs.map(({ inputId }) => inputId)
const versionsOf = (...numbers: number[]): DefinitionVersion[] =>
  numbers.map((version) => ({ definition: 'test', version }))

export function definitionCases({ store, open, reopen, elsewhere, durable, shared }: Opened): void {
  const started = async (overrides: SagaOverrides, live = true): Promise<string> => {
    const start = startOf(overrides, live)
    expect((await store().commit({ starts: [start], moves: [] })).starts).toEqual([{ kind: 'started' }])
    return start.saga.id
  }

  describe('its identity', () => {
    test('is short, stays, and is shared by all who share the store', async () => {
      const identity = await store().identity()
      expect(identity).toMatch(/^[a-z0-9]{1,32}$/)
      expect(await store().identity()).toBe(identity)
      if (durable) expect(await (await reopen()).identity()).toBe(identity)
      if (shared) {
        const all = await Promise.all(Array.from({ length: 4 }, open))
        expect(await Promise.all(all.map((each) => each.identity()))).toEqual(all.map(() => identity))
      }
    })

    test('is not that of another store', () =>
      elsewhere(async (other) => expect(await other.identity()).not.toBe(await store().identity())))
  })

  describe('a definition', () => {
    const known = (structure: string, overrides: Partial<KnownDefinition> = {}): KnownDefinition => ({
      definition: 'test',
      version: 1,
      structure,
      cancellable: false,
      ...overrides,
    })
    const register = (
      structure: string,
      owner = 'me',
      overrides: Partial<KnownDefinition> = {},
      by = store(),
      silentMs = minute,
    ): ReturnType<Store['register']> => by.register(owner, [known(structure, overrides)], silentMs)

    test('is kept with its structure, whatever is in that, and may be registered again', async () => {
      const text = `{"steps":["näh \u0001 ' \\" \\u0000","{}"]}\n`
      const all = [
        known(text, { definition: 'ä: b', version: 12, cancellable: true }),
        known('one'),
        known('two', { version: 2 }),
      ]
      expect(await store().register('me', all, minute)).toEqual([])
      expect(await store().register('me', all, minute)).toEqual([])
      const kept = durable ? await (await reopen()).definitions() : await store().definitions()
      const byName = (a: KnownDefinition, b: KnownDefinition): number => a.version - b.version
      expect(kept.toSorted(byName)).toEqual(all.toSorted(byName))
    })

    test('that nobody needs any more gives its place to another structure', async () => {
      await register('old')
      await started({ status: 'COMPLETED' }, false)
      await started({ version: 2 })
      await started({ definition: 'other' })
      expect(await register('new')).toEqual([])
      expect(await store().definitions()).toEqual([known('new')])
    })

    test.each([
      ['live', { status: 'STARTED' }, true],
      ['parked', { status: 'PARKED' }, false],
      ['ended, with something that follows by itself', { status: 'COMPLETED' }, true],
    ] as const)('is needed by sagas that are %s', async (_, overrides, live) => {
      await register('old')
      await started(overrides, live)
      await started(overrides, live)
      const conflict = { definition: 'test', version: 1, structure: 'old', sagas: 2, processes: 0 }
      expect(await register('new')).toEqual([conflict])
      expect(await store().definitions()).toEqual([known('old')])
      expect(await register('old')).toEqual([])
    })

    test('that let its completed sagas be cancelled is needed by those', async () => {
      await register('old')
      await register('old', 'me', { cancellable: true }) // the same structure: that may be said later
      await started({ status: 'COMPLETED' }, false)
      await started({ status: 'COMPLETED' }, true)
      await started({ status: 'FAILED' }, false)
      expect(await register('new')).toMatchObject([{ structure: 'old', sagas: 2 }])
    })

    test('is needed by completed sagas where only the new one would let them move', async () => {
      await register('old')
      await started({ status: 'COMPLETED' }, false)
      await started({ status: 'COMPENSATED' }, false)
      expect(await register('new', 'me', { cancellable: true })).toMatchObject([{ structure: 'old', sagas: 1 }])
      expect(await register('new')).toEqual([])
    })

    test('that is in conflict keeps no other from being kept', async () => {
      await register('old')
      await started({})
      const conflicts = await store().register('me', [known('new'), known('fresh', { version: 2 })], minute)
      expect(conflicts).toMatchObject([{ version: 1, structure: 'old', sagas: 1 }])
      expect(await store().definitions()).toEqual(
        expect.arrayContaining([known('old'), known('fresh', { version: 2 })]),
      )
    })

    test('whose sagas were made before any was registered is kept as it comes', async () => {
      await started({})
      expect(await register('first')).toEqual([])
      expect(await register('second')).toMatchObject([{ structure: 'first', sagas: 1 }])
    })

    test('is needed by other processes that live and run it, until they are silent or retire', async () => {
      const conflict = { definition: 'test', version: 1, structure: 'old', sagas: 0 }
      await register('old', 'a')
      expect(await register('new', 'b')).toEqual([{ ...conflict, processes: 1 }])
      await store().heartbeat('c', [...versionsOf(2, 1), { definition: 'other', version: 1 }])
      await store().heartbeat('d', [...versionsOf(2), { definition: 'tes', version: 1 }])
      expect(await register('new', 'b')).toEqual([{ ...conflict, processes: 2 }])
      await store().heartbeat('a', versionsOf(3))
      expect(await register('new', 'b')).toEqual([{ ...conflict, processes: 1 }])
      await store().retire('c')
      expect(await register('new', 'b')).toEqual([])
      // By registering, a process says what it runs.
      expect(await register('newer', 'e')).toEqual([{ ...conflict, structure: 'new', processes: 1 }])
      expect(await register('newer', 'e', {}, store(), 0)).toEqual([])
    })

    test('is registered in another structure by one of those who do so at once', async () => {
      const rivals = shared ? [store(), await open(), await open()] : [store(), store(), store()]
      for (let version = 1; version <= 8; version++) {
        // A structure that nobody needs any more has to be taken away first.
        if (version % 2 === 0) await register('old', 'gone', { version })
        await store().retire('gone')
        const results = await Promise.all(
          rivals.map((rival, index) => register(`new ${index}`, `owner ${index}`, { version }, rival)),
        )
        const winners = results.flatMap((conflicts, index) => (conflicts.length === 0 ? [`new ${index}`] : []))
        expect(winners).toHaveLength(1)
        expect(results.flat()).toEqual(
          [1, 2].map(() => ({ definition: 'test', version, structure: winners[0], sagas: 0, processes: 1 })),
        )
        for (const [index] of rivals.entries()) await store().retire(`owner ${index}`)
      }
    })
  })

  describe('inputs that are handed over', () => {
    const input = (reason: string): Input => ({ type: 'cancel', by: 'somebody', reason })
    const handed = (sagaId: string, inputId: string, reason = 'why'): HandedInput => ({
      sagaId,
      inputId,
      input: input(reason),
    })

    test('are kept in the order of their coming, for the versions of their sagas, until they are dropped', async () => {
      const [one, two] = [await started({ version: 1 }), await started({ version: 2 })]
      const odd = `"x" {} \\ 'é' \u0000 \ud83d`
      await store().hand([handed(two, 'z'), handed(one, 'y: ä', odd)])
      await store().hand([handed(two, 'x'), handed(one, 'w')])
      expect(await store().handed(versionsOf(1, 2), 10)).toEqual([
        handed(two, 'z'),
        handed(one, 'y: ä', odd),
        handed(two, 'x'),
        handed(one, 'w'),
      ])
      expect(ids(await store().handed(versionsOf(2), 10))).toEqual(['z', 'x'])
      expect(ids(await store().handed(versionsOf(1, 2), 3))).toEqual(['z', 'y: ä', 'x'])
      expect(await store().handed(versionsOf(3), 10)).toEqual([])
      expect(await store().handed([], 10)).toEqual([])
      await store().dropHanded([handed(two, 'z'), handed(one, 'w'), handed(one, 'never'), handed('nowhere', 'z')])
      expect(ids(await store().handed(versionsOf(1, 2), 10))).toEqual(['y: ä', 'x'])
      const asked = [handed(two, 'x'), handed(two, 'z'), handed('nowhere', 'x'), handed(one, 'y: ä')]
      expect(ids(await store().stillHanded(asked))).toEqual(['x', 'y: ä'])
      await store().dropHanded([])
      expect(await store().stillHanded([])).toEqual([])
      if (durable) expect(ids(await (await reopen()).handed(versionsOf(1, 2), 10))).toEqual(['y: ä', 'x'])
    })

    test('are kept once for each saga and id', async () => {
      const [one, two] = [await started({}), await started({})]
      await store().hand([handed(one, 'a', 'first'), handed(two, 'a'), handed(one, 'a', 'second')])
      await store().hand([handed(one, 'a', 'third'), handed(one, 'b')])
      expect(await store().handed(testVersions, 10)).toEqual([
        handed(one, 'a', 'first'),
        handed(two, 'a'),
        handed(one, 'b'),
      ])
    })

    test('are not kept for a saga that does not exist, and go with one that is removed', async () => {
      const ended = await started({ status: 'COMPLETED' }, false)
      const kept = await started({ version: 2 })
      await store().hand([handed('nowhere', 'a'), handed(ended, 'a'), handed(kept, 'a')])
      expect(await store().prune(0, 10)).toBe(1)
      expect(await store().handed(versionsOf(1, 2), 10)).toEqual([handed(kept, 'a')])
      expect(ids(await store().stillHanded([handed('nowhere', 'a'), handed(ended, 'a')]))).toEqual([])
      await started({ id: ended })
      expect(await store().handed(versionsOf(1), 10)).toEqual([])
    })

    test('with an id that no database takes are refused or kept, and to ask for one is no error', async () => {
      const saga = await started({})
      for (const odd of ['a NUL \0', 'half \ud83d']) {
        await store()
          .hand([handed(saga, odd)])
          .catch((error: unknown) => expect(error).toMatchObject({ name: 'StoreError', code: 'refused' }))
        expect((await store().stillHanded([handed(saga, odd)])).length).toBeLessThanOrEqual(1)
        await store().dropHanded([handed(saga, odd)])
      }
      expect(await store().handed(testVersions, 10)).toEqual([])
    })

    test('that are no JSON are refused', async () => {
      const odd = { type: 'start', id: 'x', input: 1n, seed: 1 } as const
      await expect(store().hand([{ sagaId: await started({}), inputId: 'a', input: odd }])).rejects.toMatchObject({
        code: 'refused',
      })
    })

    if (shared)
      test('and sagas that a retired process leaves are told of to the others who watch', async () => {
        const saga = await started({})
        const other = await open()
        const told: string[] = []
        const watching = await Promise.all([
          store().watch?.(watcherOf(undefined, () => told.push('own'))),
          other.watch?.(watcherOf(undefined, () => told.push('other'))),
        ])
        await store().hand([handed(saga, 'a')])
        await vi.waitFor(() => expect(told).toEqual(['other']), 10_000)
        await other.heartbeat('me', [])
        await other.retire('me')
        await vi.waitFor(() => expect(told).toEqual(['other', 'own']), 10_000)
        for (const each of watching) await each?.close()
      })
  })

  if (!shared)
    test('it is used by one engine at a time, and the refusal says what to do', async () => {
      expect(store().exclusive).toBe(true)
      const release = store().use?.('one')
      expect(() => store().use?.('other')).toThrow(
        expect.objectContaining({
          code: 'locked',
          message:
            'This store is in use by another engine in this process (one). Give each engine a store of its own, or stop that one first.',
        }) as Error,
      )
      release?.()
      const other = store().use?.('other')
      release?.() // has nothing left to give back
      expect(() => store().use?.('third')).toThrow('in use')
      other?.()
      store().use?.('third')
      expect((await reopen()).use?.('fourth')).toBeTypeOf('function')
    })
}
