/**
 * For tests: participants that behave as the originals do (docs/wire-contract.md 5.4, 7.6), by an independent client on a real
 * RabbitMQ. They know nothing of our ids, dedupe nothing, answer no rollback and no update, tell no failure but that of stock,
 * keep what they took before they fail, and never come back from what they did not expect.
 */
import { connect, type Channel, type ChannelModel, type ConsumeMessage } from 'amqplib'

export interface Queues {
  readonly stock: string
  readonly payment: string
  readonly order: string
  readonly replies: string
}

interface Command {
  readonly event: string
  readonly transaction_id?: string
  readonly data: Readonly<Record<string, unknown>>
}

interface Taken {
  readonly transaction: string
  readonly product: string
  readonly quantity: number
  rolledBack: boolean
}

export interface Payment {
  readonly id: string
  readonly transaction: string
  readonly amount: number
  status: string
  order: string | null
}

export interface Order {
  readonly id: string
  readonly transaction: string
  status: string
  payment: string | null
}

export class Originals {
  readonly stock = new Map<string, number>()
  readonly taken: Taken[] = []
  readonly payments: Payment[] = []
  readonly orders: Order[] = []
  /** Every command that came, as it was. */
  readonly came: Command[] = []
  /** What stopped one of them for good; empty in good order. */
  readonly stopped: string[] = []
  /** Buyers whose payment fails, of which it says nothing. */
  readonly swallowed = new Set<string>()
  /** How often each answer is given. */
  copies = 1
  /** Whether orders are made at all; what comes meanwhile waits. */
  ordering = true
  readonly #queues: Queues
  readonly #waiting: (() => void)[] = []
  #model: ChannelModel | null = null
  #channel: Channel | null = null
  #count = 0

  constructor(queues: Queues) {
    this.#queues = queues
  }

  async start(url: string): Promise<void> {
    this.#model = await connect(url)
    this.#channel = await this.#model.createChannel()
    for (const queue of Object.values(this.#queues) as string[])
      await this.#channel.assertQueue(queue, { durable: true })
    await this.#consume(this.#queues.stock, (command) => this.#obeyStock(command))
    await this.#consume(this.#queues.payment, (command) => this.#obeyPayment(command))
    await this.#consume(this.#queues.order, (command) => this.#obeyOrder(command))
  }

  /** Takes the orders that came while none were taken. */
  orderAgain(): void {
    this.ordering = true
    for (const go of this.#waiting.splice(0)) go()
  }

  commands(event: string): readonly Command[] {
    return this.came.filter((command) => command.event === event)
  }

  async close(): Promise<void> {
    for (const queue of Object.values(this.#queues) as string[])
      for (const name of [queue, `${queue}.dead`]) await this.#channel?.deleteQueue(name)
    await this.#model?.close()
  }

  /** One after the other, and none after one that it did not expect: that stays unacknowledged. */
  async #consume(queue: string, obey: (command: Command) => Promise<void> | void): Promise<void> {
    const channel = this.#channel as Channel
    let before: Promise<void> = Promise.resolve()
    let hangs = false
    const take = async (message: ConsumeMessage): Promise<void> => {
      if (hangs) return
      const command = JSON.parse(message.content.toString()) as Command
      this.came.push(command)
      try {
        await obey(command)
        channel.ack(message)
      } catch (error) {
        hangs = true
        this.stopped.push(`${command.event}: ${(error as Error).message}`)
      }
    }
    await channel.consume(queue, (message) => {
      if (message !== null) before = before.then(() => take(message))
    })
  }

  #reply({ event, transaction_id }: Command, status: 'success' | 'error', data: object | null): void {
    const reply = Buffer.from(JSON.stringify({ event, transaction_id, status, message: '', data }))
    for (let copy = 0; copy < this.copies; copy++) this.#channel?.sendToQueue(this.#queues.replies, reply)
  }

  #obeyStock(command: Command): void {
    const { event, data, transaction_id: transaction = '' } = command
    if (event === 'reduce_stock') {
      for (const { product_id: product, quantity } of data['products'] as { product_id: string; quantity: number }[]) {
        const left = this.stock.get(product) ?? 0
        if (left < quantity) return this.#reply(command, 'error', null)
        this.stock.set(product, left - quantity)
        this.taken.push({ transaction, product, quantity, rolledBack: false })
      }
      return this.#reply(command, 'success', null)
    }
    if (event !== 'rollback_stock') throw new Error('it knows no such event')
    for (const one of this.taken)
      if (one.transaction === data['transaction_id'] && !one.rolledBack) {
        one.rolledBack = true
        this.stock.set(one.product, (this.stock.get(one.product) ?? 0) + one.quantity)
      }
  }

  #obeyPayment(command: Command): void {
    const { event, data, transaction_id: transaction = '' } = command
    switch (event) {
      case 'take_payment': {
        if (this.swallowed.has(String(data['user_email']))) return
        const id = `${++this.#count}`
        this.payments.push({ id, transaction, amount: Number(data['amount']), status: 'Success', order: null })
        return this.#reply(command, 'success', { payment_id: id })
      }
      case 'rollback_payment': {
        const payment = this.payments.find((one) => one.transaction === transaction)
        if (payment !== undefined) payment.status = 'Cancelled'
        return
      }
      case 'update_payment_order_id': {
        const payment = this.payments.find((one) => one.id === data['payment_id'])
        if (payment === undefined) throw new Error('it knows no such payment')
        payment.order = String(data['order_id'])
        return
      }
      default:
        return
    }
  }

  async #obeyOrder(command: Command): Promise<void> {
    const { event, data, transaction_id: transaction = '' } = command
    if (!this.ordering) await new Promise<void>((go) => this.#waiting.push(go))
    if (event === 'create_order') {
      if (transaction.length > 36 || textIn(data, 'description').length > 255) throw new Error('it is too long')
      const id = `${++this.#count}`
      this.orders.push({ id, transaction, status: String(data['status']), payment: null })
      return this.#reply(command, 'success', { order_id: id })
    }
    const order = this.orders.find((one) =>
      event === 'rollback_order' ? one.transaction === transaction : one.id === data['order_id'],
    )
    if (order === undefined) throw new Error('it knows no such order')
    if (event === 'rollback_order') order.status = 'Canceled'
    else if (event === 'update_order_payment_id' && data['payment_id'] !== null)
      order.payment = textIn(data, 'payment_id')
    else throw new Error('it did not expect that')
  }
}

function textIn(data: Command['data'], name: string): string {
  const value = data[name]
  return typeof value === 'string' ? value : ''
}
