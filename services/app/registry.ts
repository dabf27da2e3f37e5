/**
 * The services of this repository: one entry each, from which follow the configuration, how they start and stop, how their
 * messages move over HTTP, and what the checks of compose.yaml, the Dockerfile and the README ask for.
 *
 * They start in this order, and stop in the reverse one: who obeys commands before who gives them.
 */
import { commandChannel, eventChannel } from 'ordersaga/transport'
import type { Store } from 'ordersaga/store'
import type { z } from 'zod'
import { openOrderService } from '../order/service.ts'
import { openPaymentService } from '../payment/service.ts'
import { orderReader } from '../order/reader.ts'
import { openCompleteOrderService } from '../sagas/complete-order/service.ts'
import { openCreateOrderService } from '../sagas/create-order/service.ts'
import { completeOrderChannels } from '../shared/complete-order.ts'
import type { DatabaseTarget } from '../shared/database/database.ts'
import type { OpenService, ServiceOptions } from '../shared/service.ts'
import { openTimerService } from '../timer/service.ts'
import { openUserService } from '../user/service.ts'
import { minutes, optionalFlag, secret } from './variables.ts'

/** What a service is opened with. */
export interface Opening extends Omit<ServiceOptions, 'database'> {
  /** The service's database. */
  readonly database: DatabaseTarget
  /** Where it keeps its sagas, open already. @throws where its entry says that it keeps none */
  readonly store: () => Store
  /** Where another service is; asked for when it is needed, once all run that run in this process. */
  readonly addressOf: (service: string) => string
}

interface Described<Name extends string> {
  /** As on the command line and in compose.yaml. */
  readonly name: Name
  readonly title: string
  /** What it does, as the README says it. */
  readonly does: string
  /** Where it listens. */
  readonly port: { readonly variable: string; readonly usual: number }
  /** The variable that tells the others where it is, where messages move by HTTP. */
  readonly url: string
  /** Where its data is: a database of this name on PostgreSQL, else a file. */
  readonly database: string
  /** What it keeps there: rows of its own, or the sagas that it orchestrates, which may also be in Redis. */
  readonly keeps: 'rows' | 'sagas'
  /** What its keys in Redis begin with, where sagas are kept there: orchestrators may share a server. */
  readonly redisPrefix?: string
  /** The channels that it reads. */
  readonly reads: readonly string[]
  /** The channels on which it speaks unasked, answers and commands included. */
  readonly publishes: readonly string[]
}

export interface Service<Name extends string = string> extends Described<Name> {
  /** Variables that it alone has. */
  readonly variables: z.ZodRawShape
  /** @param variables those of the environment, checked */
  readonly open: (opening: Opening, variables: object) => Promise<OpenService>
}

/** Opens with its own variables as their schemas give them. */
function service<const Name extends string, Shape extends z.ZodRawShape>(
  described: Described<Name> & {
    readonly variables: Shape
    readonly open: (opening: Opening, variables: z.infer<z.ZodObject<Shape>>) => Promise<OpenService>
  },
): Service<Name> {
  const { variables, open } = described
  // What comes in here has passed the same schemas as part of the whole environment.
  return { ...described, variables, open: (opening, own) => open(opening, own as z.infer<z.ZodObject<Shape>>) }
}

const asParticipant = (name: string) => ({
  keeps: 'rows' as const,
  reads: [commandChannel(name)],
  publishes: [eventChannel(name)],
})

/** One that has a part in the Complete Order saga too. */
const asParticipantOfBoth = (name: string) => ({
  keeps: 'rows' as const,
  reads: [commandChannel(name), completeOrderChannels.commands],
  publishes: [eventChannel(name), completeOrderChannels.events],
})

const asOrchestratorOf = (participants: readonly string[]) => ({
  keeps: 'sagas' as const,
  reads: participants.map(eventChannel),
  publishes: participants.map(commandChannel),
})

const ordersOf = ({ addressOf }: Pick<Opening, 'addressOf'>) => orderReader(() => addressOf('order'))

export const services = [
  service({
    name: 'user',
    title: 'User Service',
    does: 'customers with payment data, runners',
    port: { variable: 'USER_PORT', usual: 3001 },
    url: 'USER_SERVICE_URL',
    database: 'user_db',
    ...asParticipantOfBoth('user'),
    variables: {},
    open: (opening) => openUserService({ ...opening, orders: ordersOf(opening) }),
  }),
  service({
    name: 'order',
    title: 'Order Service',
    does: 'orders and their status',
    port: { variable: 'ORDER_PORT', usual: 3002 },
    url: 'ORDER_SERVICE_URL',
    database: 'order_db',
    ...asParticipantOfBoth('order'),
    /** Serves `/testCreateOrder`, whose orders nobody is told of; on loopback alone where nothing is said. */
    variables: { ORDER_TEST_ROUTES: optionalFlag },
    open: (opening, own) => openOrderService({ ...opening, testRoutes: own.ORDER_TEST_ROUTES }),
  }),
  service({
    name: 'payment',
    title: 'Payment Service',
    does: 'authorise, release, revert; a double-entry ledger; a sandbox gateway, or Stripe with `STRIPE_SECRET_KEY`',
    port: { variable: 'PAYMENT_PORT', usual: 3003 },
    url: 'PAYMENT_SERVICE_URL',
    database: 'payment_db',
    ...asParticipantOfBoth('payment'),
    // Its routes for operators command itself.
    publishes: [...asParticipantOfBoth('payment').publishes, commandChannel('payment')],
    variables: { STRIPE_SECRET_KEY: secret },
    open: (opening, { STRIPE_SECRET_KEY: secretKey }) =>
      openPaymentService({ ...opening, ...(secretKey === undefined ? {} : { stripe: { secretKey } }) }),
  }),
  service({
    name: 'timer',
    title: 'Timer Service',
    does: 'durable timers',
    port: { variable: 'TIMER_PORT', usual: 3005 },
    url: 'SCHEDULER_SERVICE_URL',
    database: 'timer_db',
    ...asParticipant('timer'),
    variables: {},
    open: (opening) => openTimerService(opening),
  }),
  service({
    name: 'create-order',
    title: 'Create Order saga',
    does: 'starts, shows, streams and cancels Create Order sagas',
    port: { variable: 'CREATE_ORDER_PORT', usual: 3101 },
    url: 'CREATE_ORDER_SAGA_URL',
    database: 'create_order_saga_db',
    redisPrefix: 'ordersaga',
    ...asOrchestratorOf(['user', 'order', 'payment', 'timer']),
    /** How long a runner has to accept an order. */
    variables: { ORDER_TIMER_MINUTES: minutes(30) },
    open: ({ store, ...opening }, own) =>
      openCreateOrderService({ ...opening, store: store(), timerMs: own.ORDER_TIMER_MINUTES * 60_000 }),
  }),
  service({
    name: 'complete-order',
    title: 'Complete Order saga',
    does: 'completes delivered orders: pays the runner, and streams how far it is',
    port: { variable: 'COMPLETE_ORDER_PORT', usual: 3104 },
    url: 'COMPLETE_ORDER_SAGA_URL',
    database: 'complete_order_saga_db',
    redisPrefix: 'complete-order',
    keeps: 'sagas',
    reads: [completeOrderChannels.events],
    publishes: [completeOrderChannels.commands],
    variables: {},
    open: ({ store, ...opening }) =>
      openCompleteOrderService({ ...opening, store: store(), orders: ordersOf(opening) }),
  }),
] as const

export type ServiceName = (typeof services)[number]['name']

export const serviceNames: readonly ServiceName[] = services.map(({ name }) => name)

export const isServiceName = (name: string): name is ServiceName => (serviceNames as readonly string[]).includes(name)

/** A value for each service, by its name. */
export const byService = <T>(valueOf: (service: Service<ServiceName>) => T): Readonly<Record<ServiceName, T>> =>
  Object.fromEntries(services.map((service) => [service.name, valueOf(service)])) as Record<ServiceName, T>

const all = byService((service) => service)

export const serviceNamed = (name: ServiceName): Service<ServiceName> => all[name]
