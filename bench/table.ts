/** Tables in Markdown, a row at a time. */
export const print = (line: string): void => void process.stdout.write(`${line}\n`)

export const row = (cells: readonly (string | number)[]): void => print(`| ${cells.join(' | ')} |`)

export function head(cells: readonly string[]): void {
  row(cells)
  row(cells.map(() => '---'))
}

export const whole = (value: number): string => Math.round(value).toLocaleString('en')
