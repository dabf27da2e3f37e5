import { expect, test } from 'vitest'
import { z } from 'zod'
import { authServerUrl, authServerVariables } from './auth-server.ts'

const Variables = z.object(authServerVariables)
const url = (said: Readonly<Record<string, string>>) => authServerUrl(Variables.parse(said))

test('where nothing is said it is ours, and a foreign yes is not enough', () => {
  expect(url({})).toBeNull()
  expect(Variables.parse({}).AUTH_ACCEPT_UNNAMED).toBe(false)
})

test.each([
  [{ AUTHERIZATION_SERVER_HOST: 'http://auth-service', AUTHERIZATION_SERVER_PORT: '8086' }, 'http://auth-service:8086'],
  [{ AUTHORIZATION_SERVER_HOST: 'http://auth-service', AUTHERIZATION_SERVER_PORT: '8086' }, 'http://auth-service:8086'],
  [{ AUTHERIZATION_SERVER_HOST: 'http://auth-service' }, 'http://auth-service:5206'],
  [{ AUTHORIZATION_SERVER_PORT: '8086' }, 'http://localhost:8086'],
  [{ AUTHERIZATION_SERVER_HOST: 'http://auth:80' }, 'http://auth'],
  [{ AUTHERIZATION_SERVER_HOST: 'https://auth.example/base/' }, 'https://auth.example:5206/base'],
  [{ AUTHERIZATION_SERVER_PORT: '1', AUTHORIZATION_SERVER_PORT: '1' }, 'http://localhost:1'],
])('%j is %s', (said, expected) => {
  expect(url(said)).toBe(expected)
})

test.each([
  ['AUTHERIZATION_SERVER_HOST', 'auth-service', 'must be a URL with its scheme'],
  ['AUTHORIZATION_SERVER_HOST', 'ftp://auth', 'must be a URL with its scheme'],
  ['AUTHERIZATION_SERVER_PORT', '0', 'must be a port number'],
  ['AUTHORIZATION_SERVER_PORT', 'x', 'must be a port number'],
  ['AUTH_ACCEPT_UNNAMED', 'perhaps', 'must be true or false'],
])('%s=%s is refused', (name, value, why) => {
  expect(() => url({ [name]: value })).toThrow(why)
})

test('two spellings that say different things are refused, with both names', () => {
  expect(() => url({ AUTHERIZATION_SERVER_PORT: '5206', AUTHORIZATION_SERVER_PORT: '8086' })).toThrow(
    'AUTHERIZATION_SERVER_PORT, AUTHORIZATION_SERVER_PORT: they say different things',
  )
})
