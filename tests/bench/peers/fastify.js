// Fastify and amqplib: answers once the broker has confirmed.
'use strict';

const fastify = require('fastify');
const { open, save, isUser } = require('./publisher');

async function main() {
  const publisher = await open({ confirm: true, queueType: 'quorum' });
  const app = fastify({ bodyLimit: 65536 });
  app.get('/healthz', async () => ({ status: 'ok' }));
  app.post('/users/save', async (request, reply) => {
    if (!isUser(request.body)) return reply.status(422).send({ success: false });
    const id = await save(publisher, request.body);
    return { success: true, data: request.body, id };
  });
  await app.listen({ port: Number(process.env.PORT), host: '127.0.0.1' });
}

main();
