// As the Node.js demo service does it: not persistent, no confirm, success at once.
'use strict';

const express = require('express');
const { open } = require('./publisher');

async function main() {
  const { channel, queue } = await open({ confirm: false, queueType: 'classic' });
  const app = express();
  app.use(express.json());
  app.use(express.urlencoded({ extended: true }));
  app.get('/users', (request, reply) => reply.json({ success: true, message: 'users base route' }));
  app.get('/healthz', (request, reply) => reply.json({ status: 'ok' }));
  app.post('/users/save', (request, reply) => {
    channel.sendToQueue(queue, Buffer.from(JSON.stringify(request.body)));
    reply.json({ success: true, data: request.body });
  });
  app.listen(Number(process.env.PORT), '127.0.0.1');
}

main();
