import type * as Kafkajs from 'kafkajs'
import { driver } from '../../driver.ts'

export const kafkajs = driver('kafkajs', 'ordersaga/transports/kafka') as typeof Kafkajs
