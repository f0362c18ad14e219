// What the Node.js peers share: one connection, one confirm channel, a promise for each save.
'use strict';

const { randomUUID } = require('node:crypto');
const amqp = require('amqplib');

async function open({ confirm, queueType }) {
  const connection = await amqp.connect(process.env.AMQP_URL);
  const channel = await (confirm ? connection.createConfirmChannel() : connection.createChannel());
  const queue = process.env.QUEUE;
  await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': queueType } });
  const returned = new Set();
  channel.on('return', (message) => returned.add(message.properties.messageId));
  return { channel, queue, returned };
}

// Resolves with the message's id once the broker has confirmed it.
function save({ channel, queue, returned }, user) {
  const messageId = randomUUID();
  return new Promise((resolve, reject) => {
    channel.publish('', queue, Buffer.from(JSON.stringify(user)), {
      persistent: true,
      mandatory: true,
      contentType: 'application/json',
      type: 'user.saved',
      appId: 'bench',
      timestamp: Math.floor(Date.now() / 1000),
      messageId,
    }, (error) => {
      if (error) reject(error);
      else if (returned.delete(messageId)) reject(new Error('unroutable'));
      else resolve(messageId);
    });
  });
}

function isUser(user) {
  return user !== null && typeof user === 'object' && !Array.isArray(user) &&
    ['id', 'email', 'username', 'name'].some((name) => name in user);
}

module.exports = { open, save, isUser };
