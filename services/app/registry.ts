/**
 * The services of this repository: one entry each, from which follow the configuration, how they start and stop, how their
 * messages move over HTTP, and what the checks of compose.yaml, the Dockerfile and the README ask for.
 *
 * They start in this order, and stop in the reverse one: who obeys commands before who gives them.
 */
import { commandChannel, eventChannel } from 'ordersaga/transport'
import type { Store } from 'ordersaga/store'
import type { z } from 'zod'
import { openAuthService } from '../auth/service.ts'
import { openGateway } from '../gateway/service.ts'
import type { Place, Upstream } from '../gateway/upstream.ts'
import { openOrderService } from '../order/service.ts'
import { openPaymentService } from '../payment/service.ts'
import { orderReader } from '../order/reader.ts'
import { openCompleteOrderService } from '../sagas/complete-order/service.ts'
import { openCreateOrderService } from '../sagas/create-order/service.ts'
import { parts } from '../sagas/order-orchestration/saga.ts'
import { openOrderOrchestrationService } from '../sagas/order-orchestration/service.ts'
import type { CallerOptions } from '../shared/auth/caller.ts'
import { authVerifier, strongestFirst } from '../shared/auth/verifier.ts'
import { completeOrderChannels } from '../shared/complete-order.ts'
import { orderOrchestrationChannels } from '../shared/order-orchestration.ts'
import type { OpenService, ServerOptions, ServiceOptions } from '../shared/service.ts'
import { openShopOrderService } from '../shop-order/service.ts'
import { openShopPaymentService } from '../shop-payment/service.ts'
import { productReader } from '../stock/reader.ts'
import { openStockService } from '../stock/service.ts'
import { openTimerService } from '../timer/service.ts'
import { openUserService } from '../user/service.ts'
import type { TemporalTarget } from '../sagas/workflows/temporal.ts'
import { secretIn } from './service-token.ts'
import {
  credentials,
  flag,
  minutes,
  networks,
  optionalFlag,
  optionalHttpUrl,
  secret,
  someOf,
  strongSecret,
} from './variables.ts'

/** What whoever keeps something is opened with, besides where that is kept. */
interface Opening extends Omit<ServiceOptions, 'database' | 'access'> {
  /** Where another service is; asked for when it is needed, once all run that run in this process. */
  readonly addressOf: (service: string) => string
  /** Who knows users by their tokens. */
  readonly authServer: AuthServer
  /** Where this process may keep files. */
  readonly folder: string
}

interface AuthServer {
  /** As `http://host:port`; asked for when it is needed. */
  readonly url: () => string
  /** Whether the environment names one, or ours runs in this process. */
  readonly isThere: boolean
  readonly acceptUnnamed: boolean
}

/** What a service may keep, and what it is then opened with. */
interface Openings {
  /** Rows of its own, in its database. */
  readonly rows: Opening & Pick<ServiceOptions, 'database'>
  /** The sagas that it orchestrates, which may also be in Redis. Their store is open already. */
  readonly sagas: Opening & {
    readonly store: Store
    readonly streams: { readonly perClient: number }
    /** Where that is Redis: the server, and what the keys of its own begin with there. */
    readonly redis: { readonly url: string; readonly prefix: string } | undefined
  }
  /** Workflows, which Temporal's server keeps. */
  readonly workflows: ServerOptions & Pick<Opening, 'addressOf'> & { readonly temporal: TemporalTarget }
  /** Nothing: it passes requests on to the others. */
  readonly nothing: ServerOptions & { readonly upstreams: readonly Upstream[] }
}

type Kept = keyof Openings

interface Described<Name extends string, Keeps extends Kept> {
  /** As on the command line and in compose.yaml. */
  readonly name: Name
  readonly title: string
  /** What it does, as the README says it. */
  readonly does: string
  /** Where it listens. */
  readonly port: { readonly variable: string; readonly usual: number }
  readonly keeps: Keeps
  /** The channels that it reads. */
  readonly reads: readonly string[]
  /** The channels on which it speaks unasked, answers and commands included. */
  readonly publishes: readonly string[]
}

/** Of a service that keeps something, and so is there for others. */
interface Found {
  /** The variable that tells the others where it is: those that send messages by HTTP, and the front door. */
  readonly url: string
  /** Where it stands behind the front door. */
  readonly behind: readonly Place[]
}

/** Of one with a database of its own. */
interface Stored {
  /** Where its data is: a database of this name on PostgreSQL, else a file. */
  readonly database: string
}

type More<Keeps extends Kept> = (Keeps extends 'nothing' ? unknown : Found) &
  (Keeps extends 'rows' | 'sagas' ? Stored : unknown) &
  (Keeps extends 'sagas' ? Orchestrating : unknown)

/** Of an orchestrator. */
interface Orchestrating {
  /** What the keys of its sagas begin with in Redis, which several may share. */
  readonly redisPrefix: string
}

type Opened<Name extends string, Keeps extends Kept> = Described<Name, Keeps> &
  More<Keeps> & {
    /** Variables that it alone has. */
    readonly variables: z.ZodRawShape
    /** @param variables those of the environment, checked */
    readonly open: (opening: Openings[Keeps], variables: object) => Promise<OpenService>
  }

/** One that keeps sagas. */
export type Orchestrator = Opened<string, 'sagas'>
/** One that keeps something in a database of its own. */
export type Keeper<Name extends string = string> = Opened<Name, 'rows'> | Opened<Name, 'sagas'>
/** One that keeps something. */
export type Peer<Name extends string = string> = Keeper<Name> | Opened<Name, 'workflows'>
export type Service<Name extends string = string> = Peer<Name> | Opened<Name, 'nothing'>

/** Opens with its own variables as their schemas give them. */
function service<const Name extends string, Keeps extends Kept, Shape extends z.ZodRawShape>(
  described: Described<Name, Keeps> &
    More<Keeps> & {
      readonly variables: Shape
      readonly open: (opening: Openings[Keeps], variables: z.infer<z.ZodObject<Shape>>) => Promise<OpenService>
    },
): Opened<Name, Keeps> {
  const { open } = described
  // What comes in here has passed the same schemas as part of the whole environment.
  return { ...described, open: (opening, own) => open(opening, own as z.infer<z.ZodObject<Shape>>) }
}

/** Under its name, whose part of the path it never sees, and wherever else its clients look for it. */
const behind = (name: string, ...others: readonly Place[]): { readonly behind: readonly Place[] } => ({
  behind: [{ prefix: `/${name}`, kept: false }, ...others],
})

const asParticipant = (name: string) => ({
  keeps: 'rows' as const,
  reads: [commandChannel(name)],
  publishes: [eventChannel(name)],
  ...behind(name),
})

/** One that has a part in the Complete Order saga too. */
const asParticipantOfBoth = (name: string) => ({
  keeps: 'rows' as const,
  reads: [commandChannel(name), completeOrderChannels.commands],
  publishes: [eventChannel(name), completeOrderChannels.events],
  ...behind(name),
})

/** One that obeys the Order Orchestration. */
const asParticipantOfOrchestration = (name: string, commands: string) => ({
  keeps: 'rows' as const,
  reads: [commands],
  publishes: [orderOrchestrationChannels.replies],
  ...behind(name),
})

const asOrchestratorOf = (participants: readonly string[]) => ({
  keeps: 'sagas' as const,
  reads: participants.map(eventChannel),
  publishes: participants.map(commandChannel),
})

/** The processes of a saga on Temporal: what starts its workflows, and what runs them. */
const onTemporal = { keeps: 'workflows' as const, reads: [], publishes: [] }

/** Where there is nobody who knows users, nobody is asked who he is. */
function accessBy({ authServer }: Pick<Opening, 'authServer'>): { readonly access?: CallerOptions } {
  const { url, isThere, acceptUnnamed } = authServer
  return isThere ? { access: { verify: authVerifier({ url, policies: strongestFirst }), acceptUnnamed } } : {}
}

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
    name: 'stock',
    title: 'Stock Service',
    does: 'products, prices, and what is left of them',
    port: { variable: 'STOCK_PORT', usual: 9292 },
    url: 'STOCK_SERVICE_URL',
    database: 'stock_db',
    ...asParticipantOfOrchestration('stock', orderOrchestrationChannels.stock),
    variables: {},
    open: (opening) => openStockService({ ...opening, ...accessBy(opening) }),
  }),
  service({
    name: 'shop-order',
    title: 'Shop Order Service',
    does: 'the orders of the Order Orchestration',
    port: { variable: 'SHOP_ORDER_PORT', usual: 8080 },
    url: 'SHOP_ORDER_SERVICE_URL',
    database: 'shop_order_db',
    ...asParticipantOfOrchestration('shop-order', orderOrchestrationChannels.order),
    variables: {},
    open: (opening) => openShopOrderService({ ...opening, ...accessBy(opening) }),
  }),
  service({
    name: 'shop-payment',
    title: 'Shop Payment Service',
    does: 'its payments: cards by a sandbox gateway, cash on delivery',
    port: { variable: 'SHOP_PAYMENT_PORT', usual: 9001 },
    url: 'SHOP_PAYMENT_SERVICE_URL',
    database: 'shop_payment_db',
    ...asParticipantOfOrchestration('shop-payment', orderOrchestrationChannels.payment),
    variables: {},
    open: (opening) => openShopPaymentService({ ...opening, ...accessBy(opening) }),
  }),
  service({
    name: 'auth',
    title: 'Auth Service',
    does: 'users, log-ins, tokens, and the keys to check them with',
    port: { variable: 'AUTH_PORT', usual: 8086 },
    url: 'AUTH_SERVICE_URL',
    database: 'auth_db',
    keeps: 'rows',
    reads: [],
    publishes: [],
    ...behind('auth'),
    variables: {
      /** Seals the private keys in its database; one is made in ORDERSAGA_DIR where none is given. */
      AUTH_KEY_SECRET: strongSecret,
      /** Whether the users of a first look are there, whose passwords the README tells; `npm start` says so by itself. */
      AUTH_FIRST_LOOK: flag(false),
      /** Whether anybody may register as a customer. */
      AUTH_REGISTRATION: flag(true),
      /** Whose `X-Forwarded-For` is taken for where a log-in comes from; the front door's, on this machine. */
      AUTH_TRUSTED_PROXIES: networks(['127.0.0.1', '::1']),
      /** An administrator, added where there is no such user. */
      AUTH_ADMIN: credentials,
    },
    open: (opening, own) =>
      openAuthService({
        ...opening,
        secret: own.AUTH_KEY_SECRET ?? secretIn(opening.folder, 'auth-key-secret'),
        firstLook: own.AUTH_FIRST_LOOK,
        registration: own.AUTH_REGISTRATION,
        trustedProxies: own.AUTH_TRUSTED_PROXIES,
        admin: own.AUTH_ADMIN,
      }),
  }),
  service({
    name: 'create-order',
    title: 'Create Order saga',
    does: 'starts, shows, streams and cancels Create Order sagas',
    port: { variable: 'CREATE_ORDER_PORT', usual: 3101 },
    url: 'CREATE_ORDER_SAGA_URL',
    database: 'create_order_saga_db',
    redisPrefix: 'ordersaga', // from when it was the only one
    ...asOrchestratorOf(['user', 'order', 'payment', 'timer']),
    ...behind('create-order', { prefix: '/saga/create', kept: false }),
    /** How long a runner has to accept an order. */
    variables: { ORDER_TIMER_MINUTES: minutes(30) },
    open: (opening, own) => openCreateOrderService({ ...opening, timerMs: own.ORDER_TIMER_MINUTES * 60_000 }),
  }),
  service({
    name: 'complete-order',
    title: 'Complete Order saga',
    does: 'completes delivered orders: pays the runner, and streams how far it is',
    port: { variable: 'COMPLETE_ORDER_PORT', usual: 3104 },
    url: 'COMPLETE_ORDER_SAGA_URL',
    database: 'complete_order_saga_db',
    redisPrefix: 'ordersaga-complete-order',
    keeps: 'sagas',
    reads: [completeOrderChannels.events],
    publishes: [completeOrderChannels.commands],
    variables: {},
    ...behind('complete-order', { prefix: '/saga/complete', kept: true }),
    open: (opening) => openCompleteOrderService({ ...opening, orders: ordersOf(opening) }),
  }),
  service({
    name: 'order-orchestration',
    title: 'Order Orchestration Service',
    does: 'takes orders: stock, payment, order, or none of them; for users with a token',
    port: { variable: 'ORDER_ORCHESTRATION_PORT', usual: 7001 },
    url: 'ORDER_ORCHESTRATION_URL',
    database: 'order_orchestration_db',
    redisPrefix: 'ordersaga-order-orchestration',
    keeps: 'sagas',
    reads: [orderOrchestrationChannels.replies],
    publishes: [orderOrchestrationChannels.stock, orderOrchestrationChannels.payment, orderOrchestrationChannels.order],
    variables: {
      /** Which of its participants are not ours, but behave as the originals: some of `stock`, `payment`, `order`. */
      FOREIGN_PARTICIPANTS: someOf(parts),
    },
    ...behind('order-orchestration'),
    open: (opening, own) =>
      openOrderOrchestrationService({
        ...opening,
        foreign: own.FOREIGN_PARTICIPANTS,
        verify: authVerifier({ url: opening.authServer.url }),
        acceptUnnamed: opening.authServer.acceptUnnamed,
        products: productReader(() => opening.addressOf('stock')),
        readable: opening.redis,
      }),
  }),
  service({
    name: 'accept-order-worker',
    title: 'Accept Order worker',
    does: 'runs Accept Order workflows on Temporal',
    port: { variable: 'ACCEPT_ORDER_WORKER_PORT', usual: 3112 },
    url: 'ACCEPT_ORDER_WORKER_URL',
    ...onTemporal,
    ...behind('accept-order-worker'),
    /** Another timer service's whole address, such as `http://timers/StopTimer`. */
    variables: { TIMER_SERVICE_URL: optionalHttpUrl },
    async open(opening, own) {
      const { openAcceptOrderWorker } = await import('../sagas/accept-order-workflow/worker.ts')
      const { addressOf } = opening
      const [order, timer] = [() => addressOf('order'), () => addressOf('timer')]
      return openAcceptOrderWorker({ ...opening, order, timer, stopTimer: own.TIMER_SERVICE_URL })
    },
  }),
  service({
    name: 'accept-order-trigger',
    title: 'Accept Order trigger',
    does: 'starts Accept Order workflows on Temporal',
    port: { variable: 'ACCEPT_ORDER_TRIGGER_PORT', usual: 3102 },
    url: 'ACCEPT_ORDER_TRIGGER_URL',
    ...onTemporal,
    ...behind('accept-order-trigger'),
    variables: {},
    async open(opening) {
      const { openAcceptOrderTrigger } = await import('../sagas/accept-order-workflow/trigger.ts')
      return openAcceptOrderTrigger({ ...opening, orders: ordersOf(opening) })
    },
  }),
  service({
    name: 'complete-order-worker',
    title: 'Complete Order worker',
    does: 'runs Complete Order workflows on Temporal',
    port: { variable: 'COMPLETE_ORDER_WORKER_PORT', usual: 3113 },
    url: 'COMPLETE_ORDER_WORKER_URL',
    ...onTemporal,
    ...behind('complete-order-worker'),
    variables: {},
    async open(opening) {
      const { openCompleteOrderWorker } = await import('../sagas/complete-order-workflow/worker.ts')
      const { addressOf } = opening
      const [order, user, payment] = [() => addressOf('order'), () => addressOf('user'), () => addressOf('payment')]
      return openCompleteOrderWorker({ ...opening, order, user, payment })
    },
  }),
  service({
    name: 'complete-order-trigger',
    title: 'Complete Order trigger',
    does: 'starts Complete Order workflows on Temporal',
    port: { variable: 'COMPLETE_ORDER_TRIGGER_PORT', usual: 3103 },
    url: 'COMPLETE_ORDER_TRIGGER_URL',
    ...onTemporal,
    ...behind('complete-order-trigger'),
    variables: {},
    async open(opening) {
      const { openCompleteOrderTrigger } = await import('../sagas/complete-order-workflow/trigger.ts')
      return openCompleteOrderTrigger({ ...opening, orders: ordersOf(opening) })
    },
  }),
  service({
    name: 'gateway',
    title: 'Front door',
    does: 'one origin for all of them: passes requests on, tells the health of each',
    port: { variable: 'GATEWAY_PORT', usual: 3000 },
    keeps: 'nothing',
    reads: [],
    publishes: [],
    variables: {},
    open: (opening) => openGateway(opening),
  }),
] as const

export type ServiceName = (typeof services)[number]['name']

export const serviceNames: readonly ServiceName[] = services.map(({ name }) => name)

export const isServiceName = (name: string): name is ServiceName => (serviceNames as readonly string[]).includes(name)

/** Those whose workflows Temporal keeps: they take part where there is a Temporal. (Alone, each may be started.) */
export const withoutTemporal = services.filter((service) => service.keeps !== 'workflows')

/** Those that keep something: others send to them, and they stand behind the front door. */
export const peers = services.filter((service) => service.keeps !== 'nothing')

export const isPeer = (service: Service<ServiceName>): service is Peer<PeerName> => service.keeps !== 'nothing'

/** Those with a database of their own. */
export const keepers = peers.filter((service) => service.keeps !== 'workflows')

/** Those that keep sagas. */
export const orchestrators = services.filter((service) => service.keeps === 'sagas')

export type PeerName = (typeof peers)[number]['name']

export const isPeerName = (name: string): name is PeerName => peers.some((peer) => peer.name === name)

/** A value for each of them, by its name. */
export const byName = <One extends { readonly name: string }, T>(
  all: readonly One[],
  valueOf: (one: One) => T,
): Readonly<Record<One['name'], T>> =>
  Object.fromEntries(all.map((one) => [one.name, valueOf(one)])) as Record<One['name'], T>

const all: Readonly<Record<ServiceName, Service<ServiceName>>> = byName(services, (service) => service)

export const serviceNamed = (name: ServiceName): Service<ServiceName> => all[name]
