// Express and amqplib: answers once the broker has confirmed.
'use strict';

const express = require('express');
const { open, save, isUser } = require('./publisher');

async function main() {
  const publisher = await open({ confirm: true, queueType: 'quorum' });
  const app = express();
  app.use(express.json({ limit: '64kb' }));
  app.get('/healthz', (request, reply) => reply.json({ status: 'ok' }));
  app.post('/users/save', async (request, reply) => {
    if (!isUser(request.body)) return reply.status(422).json({ success: false });
    const id = await save(publisher, request.body);
    return reply.json({ success: true, data: request.body, id });
  });
  app.listen(Number(process.env.PORT), '127.0.0.1');
}

main();
