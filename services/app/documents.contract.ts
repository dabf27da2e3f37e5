/**
 * Every service of the registry against its own API page: whatever is asked, the answer is one that the page names, of the
 * shape that it names. Requests are made from the pages themselves, so that a route or a service more is asked too.
 */
import { Validator } from '@seriousme/openapi-schema-validator'
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { freePorts } from '../../tests/kit/system.ts'
import { until } from '../../tests/kit/until.ts'
import { firstLookUsers } from '../auth/first-look.ts'
import type { Role } from '../shared/auth/access-token.ts'
import { createLog } from '../shared/log/log.ts'
import { newFolder } from '../shared/testing/ask.ts'
import { valuesOf, type JsonSchema } from '../shared/testing/schema-values.ts'
import { exampleProduct } from '../stock/view.ts'
import { readConfig } from './config.ts'
import type { Service, ServiceName } from './registry.ts'
import { tokenOf } from './service-token.ts'
import { startOne, type System } from './system.ts'

interface Content {
  readonly schema: JsonSchema
}

interface Parameter {
  readonly name: string
  readonly in: 'path' | 'query' | 'header'
  readonly required?: boolean
  readonly schema: JsonSchema
}

interface Operation {
  readonly path: string
  readonly method: string
  readonly operationId?: string
  readonly summary?: string
  readonly parameters: readonly Parameter[]
  readonly body: JsonSchema | null
  readonly bodyRequired: boolean
  /** Whose token it asks for: of one of our own services, or of a user. */
  readonly guarded: 'service' | 'user' | null
  /** As whom it is asked where it asks for a user's. */
  readonly asker: Role
  readonly responses: Readonly<Record<string, { readonly content?: Readonly<Record<string, Content>> }>>
}

/** @param more variables besides those of ports */
export function documentsContract(
  services: readonly Service<ServiceName>[],
  more: () => Readonly<Record<string, string>> = () => ({}),
): void {
  const secret = 'x'.repeat(32)
  const names = services.map(({ name }) => name)
  const systems: System[] = []
  const documents = new Map<ServiceName, { readonly whole: object; readonly operations: readonly Operation[] }>()

  /** Each by itself, so that those that take messages by HTTP have that route too. */
  beforeAll(async () => {
    const folder = newFolder()
    const ports = await freePorts(services.length)
    const variables = Object.fromEntries(
      services.flatMap((service, index) => [
        [service.port.variable, String(ports[index])],
        ...('url' in service ? [[service.url, `http://127.0.0.1:${ports[index]}`]] : []),
      ]),
    )
    const firstLook = { AUTH_FIRST_LOOK: 'true' }
    const config = readConfig({
      ...variables,
      ...firstLook,
      ...more(),
      ORDERSAGA_DIR: folder,
      SERVICE_TOKEN: secret,
    })
    for (const name of names) systems.push(await startOne(name, config, createLog('test', 'silent')))
    for (const name of names)
      await until(`${name} is ready`, 60_000, async () => (await fetch(`${urlOf(name)}/health/ready`)).ok)
    for (const name of names) documents.set(name, await documentOf(name))
    if (names.includes('auth'))
      for (const { role, email, password } of firstLookUsers) userTokens.set(role, await logIn({ email, password }))
    await askExamples()
  })
  afterAll(async () => {
    for (const system of systems.toReversed()) await system.close()
  })

  const userTokens = new Map<Role, string>()

  /** Who may ask for what the examples name: there, customers order for themselves alone. */
  const askerOf = (name: ServiceName): Role => (administered.includes(name) ? 'admin' : 'customer')
  const administered: readonly ServiceName[] = ['stock', 'shop-order', 'shop-payment']

  async function logIn(credentials: { readonly email: string; readonly password: string }): Promise<string> {
    const answer = await fetch(`${urlOf('auth')}/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(credentials),
    })
    return ((await answer.json()) as { readonly access_token: string }).access_token
  }

  /** What is sold at the price of the examples. */
  async function stockUp(): Promise<void> {
    const products = operationsOf('stock').filter(({ path }) => path === '/product')
    for (const method of ['POST', 'GET'])
      for (const operation of products.filter((one) => one.method === method))
        await ask('stock', requestOf(operation, leanExampleOf))
  }

  /** Who gives commands before those who obey them: what there is follows from what was asked of them. */
  const fromTheTop = services.toReversed()

  /** Does what the examples do, and then reads what came of it. */
  async function askExamples(): Promise<void> {
    await stockUp()
    for (const { name, keeps } of fromTheTop) {
      for (const operation of operationsOf(name)) await ask(name, requestOf(operation, leanExampleOf))
      if (keeps === 'sagas')
        await until(`the sagas of ${name} have ended`, 60_000, async () => (await startedAt(name)) === 0)
    }
    for (let nth = 0; nth < 10; nth++)
      for (const { name } of fromTheTop)
        for (const operation of operationsOf(name).filter(isRead))
          await ask(
            name,
            requestOf(operation, (part) => nthKnown(part.schema.example, nth) ?? leanExampleOf(part)),
          )
  }

  const isRead = ({ method, parameters }: Operation): boolean =>
    method === 'GET' && parameters.some(({ required }) => required === true)

  async function startedAt(name: ServiceName): Promise<number> {
    const answer = (await (await fetch(`${urlOf(name)}/ops/counts`)).json()) as { readonly counts: { STARTED: number } }
    return answer.counts.STARTED
  }

  const urlOf = (name: ServiceName): string => systems[names.indexOf(name)]?.url(name) ?? ''
  const operationsOf = (name: ServiceName): readonly Operation[] => documents.get(name)?.operations ?? []

  async function documentOf(name: ServiceName) {
    const whole = (await (await fetch(`${urlOf(name)}/openapi.json`)).json()) as {
      readonly paths: Readonly<Record<string, Readonly<Record<string, Described>>>>
    }
    return {
      whole,
      operations: Object.entries(whole.paths).flatMap(([path, methods]) => operationsAt(name, path, methods)),
    }
  }

  interface Described extends Omit<Operation, 'path' | 'method' | 'body' | 'parameters' | 'guarded' | 'asker'> {
    readonly parameters?: readonly Parameter[]
    readonly requestBody?: { readonly required?: boolean; readonly content: Readonly<Record<string, Content>> }
    readonly security?: readonly Readonly<Record<string, unknown>>[]
  }

  const operationsAt = (
    name: ServiceName,
    path: string,
    methods: Readonly<Record<string, Described>>,
  ): readonly Operation[] =>
    Object.entries(methods).map(([method, { parameters = [], requestBody, security, ...rest }]) => ({
      ...rest,
      path,
      method: method.toUpperCase(),
      parameters,
      body: requestBody?.content['application/json']?.schema ?? null,
      bodyRequired: requestBody?.required === true,
      asker: askerOf(name),
      guarded: security === undefined ? null : security.some((one) => 'user' in one) ? 'user' : 'service',
    }))

  interface Request {
    readonly operation: Operation
    /** With its query. */
    readonly path: string
    readonly headers: Readonly<Record<string, string>>
    readonly body?: string
  }

  interface Part {
    readonly schema: JsonSchema
    readonly required?: boolean
  }

  /** What is shown in `Authorization`: nothing to who asks for a service's, that of the asker to who asks for a user's. */
  interface Tokens {
    readonly service?: string | undefined
    readonly user?: string | undefined
  }

  /** @param value undefined where a part that may be left out is */
  function requestOf(
    operation: Operation,
    value: (part: Part) => unknown,
    { type = 'application/json', body, token = {} }: { type?: string; body?: string; token?: Tokens } = {},
  ): Request {
    let path = operation.path
    const query = new URLSearchParams()
    const headers: Record<string, string> = {}
    for (const parameter of operation.parameters) {
      const given = value(parameter)
      if (given === undefined) continue
      const text = typeof given === 'string' ? given : JSON.stringify(given)
      if (parameter.in === 'path') path = path.replace(`{${parameter.name}}`, encodeURIComponent(text))
      else if (parameter.in === 'query') query.append(parameter.name, text)
      else headers[parameter.name] = text
    }
    const shown = operation.guarded === 'user' ? (token.user ?? userTokens.get(operation.asker)) : token.service
    if (operation.guarded !== null && shown !== undefined) headers['authorization'] = `Bearer ${shown}`
    const asked = operation.body === null ? undefined : (body ?? JSON.stringify(value({ schema: operation.body })))
    if (asked !== undefined) headers['content-type'] = type
    return {
      operation,
      path: query.size === 0 ? path : `${path}?${query.toString()}`,
      headers,
      ...(asked === undefined ? {} : { body: asked }),
    }
  }

  /**
   * Texts that were in answers, by the example of what they were: what the API pages give the same example is the same kind of
   * thing in all services. With null: all of them.
   */
  const known = new Map<unknown, string[]>()

  function learn(value: unknown, schema: JsonSchema = {}): void {
    if (typeof value === 'string') for (const kind of [schema.example ?? null, null]) keep(kind, value)
    else if (Array.isArray(value)) for (const inner of value) learn(inner, schema.items)
    else if (typeof value === 'object' && value !== null)
      for (const [name, inner] of Object.entries(value)) learn(inner, schema.properties?.[name])
  }

  /** The first ones: later, there is ever more of what was made up. */
  const kept = 50

  function keep(kind: unknown, text: string): void {
    const texts = known.get(kind) ?? []
    if (text.length === 0 || text.length > 100 || texts.includes(text) || texts.length === kept) return
    known.set(kind, [...texts, text])
  }

  function nthKnown(example: unknown, nth: number): string | undefined {
    const texts = known.get(example) ?? []
    return texts[nth % texts.length]
  }

  const knownTexts = (example: unknown): fc.Arbitrary<string> =>
    fc
      .tuple(fc.constantFrom(example, example, example, null), fc.nat())
      .map(([kind, index]) => nthKnown(kind, index) ?? String(example))

  const ajv = new Ajv2020({ strict: false, allErrors: true })
  addFormats.default(ajv)
  const validators = new Map<JsonSchema, ValidateFunction>()

  function flawOf(schema: JsonSchema, value: unknown): string | null {
    const validate = validators.get(schema) ?? ajv.compile(schema)
    validators.set(schema, validate)
    return validate(value) ? null : ajv.errorsText(validate.errors)
  }

  /** What has been answered as it was described. */
  const answered = new Map<Operation, Set<number>>()

  /** Fails where the answer is none that the page names. */
  async function ask(name: ServiceName, request: Request): Promise<void> {
    const { operation, path, headers, body } = request
    const { method, responses } = operation
    const answer = await fetch(urlOf(name) + path, { method, headers, ...(body === undefined ? {} : { body }) })
    const [type = ''] = (answer.headers.get('content-type') ?? '').split(';')
    const found = type === 'text/event-stream' ? await firstEvents(answer) : await answer.text()
    const told = `${method} ${path} ${JSON.stringify(headers)} ${body ?? ''}\nis answered ${answer.status} ${type} ${found.slice(0, 500)}`
    const isBusy = answer.status === 503 && /\/health(\/ready)?$/.test(operation.path) // a check may be late
    if (!isBusy) expect(answer.status, told).toBeLessThan(500)
    const described = responses[String(answer.status)]
    expect(described, `${told}\nwhich ${operation.path} does not name`).toBeDefined()
    answered.set(operation, (answered.get(operation) ?? new Set()).add(answer.status))
    if (described?.content === undefined) {
      expect(found, told).toBe('')
      return
    }
    const content = described.content[type]
    expect(content, `${told}\nof a type that ${operation.path} does not name`).toBeDefined()
    for (const [, id] of found.matchAll(/^id: (.*)$/gm)) learn(id)
    for (const value of valuesIn(found, type)) {
      learn(value, content?.schema)
      expect(flawOf(content?.schema ?? {}, value), told).toBeNull()
    }
  }

  function valuesIn(text: string, type: string): readonly unknown[] {
    if (type === 'text/event-stream') return [...text.matchAll(/^data: (.*)\n\n/gm)].map(([, data]) => parsed(data))
    return [type === 'application/json' ? parsed(text) : text]
  }

  const parsed = (json = ''): unknown => JSON.parse(json)

  /** A stream goes on: what it says at once, if anything. */
  async function firstEvents({ body }: Response): Promise<string> {
    const reader = body?.getReader()
    const nothing = new Promise<null>((resolve) => void setTimeout(resolve, 200, null))
    const first = await Promise.race([reader?.read(), nothing])
    await reader?.cancel()
    return new TextDecoder().decode(first?.value)
  }

  /** Made of the examples in a schema. @param only whether a field is in it */
  function exampleOf({ schema }: Part, only: (name: string, of: JsonSchema) => boolean = () => true): unknown {
    if (schema.example !== undefined)
      return schema.example === exampleProduct ? (nthKnown(exampleProduct, 0) ?? exampleProduct) : schema.example
    if ('const' in schema) return schema.const
    const [first] = schema.anyOf ?? schema.oneOf ?? []
    if (first !== undefined) return exampleOf({ schema: first }, only)
    if (schema.enum !== undefined) return schema.enum[0]
    if (typeof schema.type === 'object' && schema.type.includes('null')) return null
    if (schema.type === 'boolean') return true
    if (schema.type === 'array') return [exampleOf({ schema: schema.items ?? {} }, only)]
    if (schema.properties === undefined) return schema.type === 'object' ? {} : undefined
    const fields = Object.entries(schema.properties).filter(([name]) => only(name, schema))
    return Object.fromEntries(fields.map(([name, inner]) => [name, exampleOf({ schema: inner }, only)]))
  }

  /** With nothing that may be left out. */
  const leanExampleOf = (part: Part): unknown =>
    part.required === false ? undefined : exampleOf(part, (name, { required = [] }) => required.includes(name))

  describe.each(fromTheTop)('the API page of $name', ({ name, reads }) => {
    test('is an OpenAPI 3.1 document', async () => {
      const { whole } = documents.get(name) ?? {}
      expect(await new Validator().validate({ ...whole })).toEqual({ valid: true })
    })

    test('says of every operation what it is called, what it does, takes and gives, with examples that fit', () => {
      const operations = operationsOf(name)
      expect(operations.length).toBeGreaterThanOrEqual(3) // its health, at least
      const ids = operations.map(({ operationId }) => operationId)
      expect([ids.includes(undefined), new Set(ids).size]).toEqual([false, ids.length])
      const flaws: string[] = []
      for (const { path, method, summary, parameters, body, responses } of operations) {
        const where = `${method} ${path}`
        expect(summary, where).toBeTruthy()
        const statuses = Object.keys(responses)
        expect(statuses.filter((status) => status.startsWith('2')).length, where).toBeGreaterThan(0)
        expect(statuses.filter((status) => status.startsWith('4')).length, where).toBeGreaterThan(0)
        const answers = Object.values(responses).flatMap(({ content = {} }) => Object.values(content))
        for (const { schema } of [...answers, ...parameters, ...(body === null ? [] : [{ schema: body }])]) {
          const example = exampleOf({ schema })
          const flaw = flawOf(schema, example)
          if (flaw !== null) flaws.push(`${where}: the example ${JSON.stringify(example)} does not fit: ${flaw}`)
        }
      }
      expect(flaws).toEqual([])
    })

    test('names what its reads show of what there is', () => {
      // Who obeys an orchestrator that is not here has nothing to show.
      const isCommanded = services.some(({ publishes }) => publishes.some((channel) => reads.includes(channel)))
      const asked = operationsOf(name).filter((one) => isRead(one) && (isCommanded || reads.length === 0))
      const blind = asked.filter((one) => answered.get(one)?.has(200) !== true)
      expect(blind.map(({ path }) => path)).toEqual([])
    })

    test('names whatever is answered to what comes, and nothing that comes is answered by a failure of ours', async () => {
      const operations = operationsOf(name)
      const some = <T>(weight: number, usual: fc.Arbitrary<T>, other: fc.Arbitrary<T>): fc.Arbitrary<T> =>
        fc.oneof({ weight, arbitrary: usual }, other)
      for (const { guarded, parameters } of operations)
        if (guarded === 'service') for (const { schema } of parameters) known.set(schema.example, [...reads])
      const senders = services.filter(({ publishes }) => publishes.some((channel) => reads.includes(channel)))
      const theirs = senders.map((sender) => tokenOf(sender.name, secret))
      const tokens = fc.record<Tokens>({
        service: fc.constantFrom(...theirs, ...theirs, ...theirs, tokenOf(name, secret), 'nobody', undefined),
        user: some(6, fc.constant(undefined), fc.constantFrom('nobody', ...userTokens.values())),
      })
      const types = some(20, fc.constant('application/json'), fc.constantFrom('text/plain', 'x'))
      const wild = some(20, fc.constant(undefined), fc.oneof(fc.json(), fc.string()))
      const weighed = operations.flatMap((operation) =>
        Array.from({ length: operation.parameters.length + (operation.body === null ? 1 : 4) }, () => operation),
      )
      const requests = fc
        .tuple(fc.constantFrom(...weighed), types, wild, tokens)
        .chain(([operation, type, body, token]) => {
          const schemas = [...operation.parameters, ...(operation.body === null ? [] : [{ schema: operation.body }])]
          const parts = schemas.map(({ schema, ...part }) => {
            const values = valuesOf(schema, knownTexts)
            const optional = 'in' in part && part.in !== 'path' && part.required !== true
            return optional ? fc.option(values, { freq: 2, nil: undefined }) : values
          })
          return fc.tuple(...parts).map((values) => {
            const left = [...values]
            return requestOf(operation, () => left.shift(), { type, token, ...(body === undefined ? {} : { body }) })
          })
        })
        .filter(canBeSent)
      await fc.assert(
        fc.asyncProperty(requests, (request) => ask(name, request)),
        { numRuns: 350 },
      )
    })
  })

  /** What no client could send, or is the path of another route. */
  const canBeSent = ({ path, headers }: Request): boolean =>
    !/\/(\.{1,2})?(\/|\?|$)/.test(path) &&
    Object.values(headers).every((text) => /^([\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?)?$/.test(text))
}
