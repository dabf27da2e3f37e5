import { openHost } from '../kit/hosts.ts'
import { killContract } from './kill.contract.ts'

// What is broken for good is found in two rounds; kill.int.test.ts has as many as it takes to find what seldom breaks.
killContract('SQLite', 2, () => openHost('embedded'))
