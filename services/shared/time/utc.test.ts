import { expect, test } from 'vitest'
import { utcMs, utcText } from './utc.ts'

test('a time is written without an offset and read back as UTC', () => {
  const ms = Date.UTC(2025, 3, 8, 3, 9, 11, 123)
  expect(utcText(ms)).toBe('2025-04-08T03:09:11.123')
  expect(utcMs(utcText(ms))).toBe(ms)
})

test.each([
  ['2025-04-08T03:09:11.123456', Date.UTC(2025, 3, 8, 3, 9, 11, 123)],
  ['2025-04-08T03:09:11+00:00', Date.UTC(2025, 3, 8, 3, 9, 11)],
  ['2025-04-08T03:09:11-0230', Date.UTC(2025, 3, 8, 5, 39, 11)],
  ['2025-04-08 03:09Z', Date.UTC(2025, 3, 8, 3, 9)],
])('%s is read', (text, ms) => expect(utcMs(text)).toBe(ms))

test.each(['', 'tomorrow', '2025-04-08', '2025-13-01T00:00:00', '1744081751123', '2025-04-08T03:09:11 please'])(
  '"%s" is no time',
  (text) => expect(utcMs(text)).toBe(null),
)
