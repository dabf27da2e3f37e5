# One image for every service: the command says which one runs (all, user, order, payment, timer, auth, stock, shop-order,
# shop-payment, create-order, complete-order, order-orchestration, accept-order-worker, accept-order-trigger,
# complete-order-worker, complete-order-trigger, gateway, first-run).
#
# Nothing of the build stays in it: neither the sources nor what is only there for development. It runs as `node`, who may
# write to /data alone; keep a volume there where the services use their embedded databases.
#
# Told of an auth server when it is built, it is the Order Orchestration Service's, with all that it was told (see the end).

ARG AUTHERIZATION_SERVER_HOST

FROM node:22.23.3-bookworm-slim AS base
WORKDIR /app

# What is installed changes less often than the sources. No package needs its install script.
FROM base AS manifests
COPY package.json package-lock.json ./
COPY saga/package.json saga/
COPY services/package.json services/

FROM manifests AS build
RUN npm ci --ignore-scripts
COPY tsconfig.json ./
COPY saga saga
COPY services services
RUN npm run build

FROM manifests AS dependencies
RUN npm ci --ignore-scripts --omit=dev

FROM base AS ordersaga
ENV NODE_ENV=production ORDERSAGA_DIR=/data
RUN mkdir /data && chown node:node /data
COPY --from=dependencies /app ./
COPY --from=build /app/saga/dist saga/dist
COPY --from=build /app/services/dist services/dist
USER node
EXPOSE 3001 3002 3003 3005 9292 8080 9001 8086 3101 3104 7001 3112 3102 3113 3103 3000

# Whichever services run in here, they are one process: it lives if any of them answers.
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s CMD ["node", "-e", "\
  const live = (port) => fetch(`http://127.0.0.1:${port}/health/live`).then((answer) => answer.ok || Promise.reject(answer)); \
  Promise.any([3001, 3002, 3003, 3005, 9292, 8080, 9001, 8086, 3101, 3104, 7001, 3112, 3102, 3113, 3103, 3000].map(live)).then(() => process.exit(0), () => process.exit(1))"]

# In this form node is process 1, and Docker's signals reach it.
ENTRYPOINT ["node", "services/dist/app/main.js"]
CMD ["all"]

# The Order Orchestration Service, told of its servers when it is built: `docker run` need not say them again, and may say others.
# What is built in can be read out of the image, a password too. It is reached from the container's network, which it trusts.
FROM ordersaga AS ordersaga-orchestration
ARG RABBITMQ_HOST
ARG RABBITMQ_PORT
ARG RABBITMQ_USER
ARG RABBITMQ_PASSWORD
ARG REDIS_HOST
ARG REDIS_PORT
ARG REDIS_DB
ARG AUTHERIZATION_SERVER_HOST
ARG AUTHERIZATION_SERVER_PORT
ENV RABBITMQ_HOST=$RABBITMQ_HOST RABBITMQ_PORT=$RABBITMQ_PORT RABBITMQ_USER=$RABBITMQ_USER RABBITMQ_PASSWORD=$RABBITMQ_PASSWORD \
  REDIS_HOST=$REDIS_HOST REDIS_PORT=$REDIS_PORT REDIS_DB=$REDIS_DB \
  AUTHERIZATION_SERVER_HOST=$AUTHERIZATION_SERVER_HOST AUTHERIZATION_SERVER_PORT=$AUTHERIZATION_SERVER_PORT \
  HOST=0.0.0.0 TRUSTED_NETWORK=true
CMD ["order-orchestration"]

# The image: one of these two.
FROM ordersaga${AUTHERIZATION_SERVER_HOST:+-orchestration}
