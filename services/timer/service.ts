/** The Timer Service: durable timers that tell when an order has waited too long for a runner. */
import { failureWithMessage } from '../shared/http/error-shapes.ts'
import { openParticipantService } from '../shared/participant-service.ts'
import type { OpenService, ServiceOptions } from '../shared/service.ts'
import type { Sleep } from '../shared/worker.ts'
import { timerCommands } from './commands.ts'
import { openExpiry } from './expiry.ts'
import { timerRoutes } from './routes.ts'
import { timerMigrations, type TimerTables } from './schema.ts'

export interface TimerServiceOptions extends ServiceOptions {
  /** How the service waits; by the system's clock where none is given. Tests move time by hand. */
  readonly sleep?: Sleep
}

export function openTimerService(options: TimerServiceOptions): Promise<OpenService> {
  const { log, now, transport } = options
  return openParticipantService<TimerTables>(options, {
    participant: 'timer',
    title: 'Timer Service',
    description: 'Durable timers; an expired one is told of as ORDER_TIMEOUT on timer_events.',
    migrations: timerMigrations(options.database.kind),
    errors: failureWithMessage,
    parts({ db }) {
      const expiry = openExpiry({
        db,
        transport,
        source: 'timer-service',
        now,
        ...(options.sleep === undefined ? {} : { sleep: options.sleep }),
        onProblem: (error) => log.warn({ err: error }, 'expired timers could not be told of; tried again soon'),
      })
      return {
        handlers: timerCommands(now),
        routes: (server) => timerRoutes(server, db, expiry, now),
        // A timer that was just stored may be the next to expire.
        onCommitted: () => expiry.nudge(),
        begin: () => expiry.begin(),
        stop: () => expiry.stop(),
      }
    },
  })
}
