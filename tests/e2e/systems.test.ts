import { systemContract } from './system.contract.ts'

systemContract('embedded')
