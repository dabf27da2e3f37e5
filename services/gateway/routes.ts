/** The front door's own routes: the page at `/`, and how every service is. */
import { z } from 'zod'
import type { HttpServer } from '../shared/http/server.ts'
import { Condition, type Survey } from './survey.ts'
import type { Upstream } from './upstream.ts'
import { contentSecurityPolicy, page } from './view.ts'

const Page = z.string().meta({ example: '<!doctype html>' })

const Conditions = z.object({
  services: z.record(z.string(), Condition).meta({ example: { order: { live: true, ready: true } } }),
})

export function gatewayRoutes(server: HttpServer, upstreams: readonly Upstream[], survey: Survey): void {
  server.get(
    '/',
    {
      schema: {
        operationId: 'show_services',
        tags: ['front door'],
        summary: 'A page that shows what stands here',
        response: { 200: { description: 'The page', content: { 'text/html': { schema: Page } } } },
      },
    },
    async (_request, reply) => {
      const html = page(upstreams, await survey())
      return reply
        .headers({ 'content-security-policy': contentSecurityPolicy, 'cache-control': 'no-store' })
        .type('text/html; charset=utf-8')
        .send(html)
    },
  )

  server.get(
    '/health/services',
    {
      schema: {
        operationId: 'get_services_health',
        tags: ['operations'],
        summary: 'Of each service behind the front door, whether it is live and ready, and why not',
        description: 'Answers 200 whatever it finds; `/health` and `/health/ready` answer 503 where one is not ready.',
        response: { 200: Conditions },
      },
    },
    async () => ({ services: await survey() }),
  )
}
