import { littleStockContract, ordersOr } from './little-stock.contract.ts'

// About a minute and a half on two busy cores; `SHOP_ORDERS` asks for more.
littleStockContract('embedded', ordersOr(10_000))
