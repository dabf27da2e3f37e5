import { openHost } from '../kit/hosts.ts'
import { killContract } from './kill.contract.ts'

killContract('SQLite', () => openHost('embedded'))
