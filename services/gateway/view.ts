/** The page at `/`: what stands behind the front door. A console will have its place. */
import { createHash } from 'node:crypto'
import type { Condition } from './survey.ts'
import type { Upstream } from './upstream.ts'

const style = `
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
  body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
  .wide { overflow-x: auto; }
  table { border-collapse: collapse; width: 100%; }
  th, td { text-align: left; vertical-align: top; padding: 0.5rem 1.25rem 0.5rem 0; border-bottom: 1px solid #8886; }
  td code { white-space: nowrap; }
  td small code { white-space: normal; }
  small { color: GrayText; display: block; }
`

/** No script runs on this page, and nothing is loaded for it. */
export const contentSecurityPolicy = [
  "default-src 'none'",
  `style-src 'sha256-${createHash('sha256').update(style).digest('base64')}'`,
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

export function page(upstreams: readonly Upstream[], conditions: Readonly<Record<string, Condition>>): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>ordersaga: front door</title>
<style>${style}</style>
</head>
<body>
<h1>ordersaga</h1>
<p>Order flows that finish or undo themselves. These services stand behind this address:</p>
<div class="wide">
<table>
<thead><tr><th>Service</th><th>Paths</th><th>API</th><th>Health</th></tr></thead>
<tbody>
${upstreams.map((upstream) => row(upstream, conditions[upstream.name])).join('\n')}
</tbody>
</table>
</div>
<p>The front door itself: <a href="/docs/">API</a>, <a href="/health/services">health of all as JSON</a>,
<a href="/metrics">metrics</a>. A console will have its place on this page.</p>
</body>
</html>
`
}

function row({ name, title, does, behind }: Upstream, condition: Condition | undefined): string {
  const paths = behind.map(({ prefix }) => `<code>${text(prefix)}/…</code>`).join('<br>')
  const prefix = `/${encodeURIComponent(name)}`
  return `<tr><td>${text(title)}<small>${prose(does)}</small></td><td>${paths}</td>
<td><a href="${prefix}/docs/">API</a></td>
<td><a href="${prefix}/health/ready">${wordFor(condition)}</a>${condition?.why === undefined ? '' : `<small>${text(condition.why)}</small>`}</td></tr>`
}

function wordFor(condition: Condition | undefined): string {
  if (condition?.ready === true) return 'ready'
  return condition?.live === true ? 'not ready' : 'down'
}

const text = (raw: string): string => raw.replaceAll(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`)

/** What is code in Markdown is code here too. */
const prose = (raw: string): string => text(raw).replaceAll(/`([^`]+)`/g, '<code>$1</code>')
