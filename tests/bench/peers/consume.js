// The other side of consume.py: fills the queue, and a consumer as most services in Node.js have one, which logs
// each message and acks it, and stores nothing.
'use strict';

const amqplib = require('amqplib');
const fs = require('fs');
const crypto = require('crypto');

const [mode, url, queue, number, userCount] = process.argv.slice(2);

// Ids whose order is that of time, as the user-service makes them.
function uuid7(now) {
  const bytes = crypto.randomBytes(16);
  bytes.writeUIntBE(now, 0, 6);
  bytes[6] = 0x70 | (bytes[6] & 0x0f);
  bytes[8] = 0x80 | (bytes[8] & 0x3f);
  const digits = bytes.toString('hex');
  return [digits.slice(0, 8), digits.slice(8, 12), digits.slice(12, 16), digits.slice(16, 20),
    digits.slice(20)].join('-');
}

async function fill(connection) {
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } });
  const known = Array.from({ length: Number(userCount) }, () => uuid7(Date.now()));
  for (let i = 0; i < Number(number); i++) {
    const now = Date.now();
    const id = known.length > 0 ? known[crypto.randomInt(known.length)] : uuid7(now);
    const body = JSON.stringify({ id, name: 'Ada Lovelace', email: 'a' + i + '@example.org' });
    channel.sendToQueue(queue, Buffer.from(body), {
      persistent: true, messageId: uuid7(now), contentType: 'application/json', type: 'user.saved',
      appId: 'user-service', timestamp: Math.floor(now / 1000), headers: { saved_at_ms: now },
    });
    if (i % 1000 === 999) {
      await channel.waitForConfirms();
    }
  }
  await channel.waitForConfirms();
  await connection.close();
}

async function consume(connection) {
  const log = fs.createWriteStream(null, { fd: 2 });
  const channel = await connection.createChannel();
  await channel.prefetch(Number(number));
  await channel.consume(queue, (message) => {
    const user = JSON.parse(message.content.toString());
    log.write(JSON.stringify({ ts: new Date().toISOString(), level: 'info', event: 'user.saved',
      message_id: message.properties.messageId, user }) + '\n');
    channel.ack(message);
  });
  process.on('SIGTERM', async () => {
    // A quorum queue forgets acks that the channel has kept back when it closes; it answers a get after them.
    for (let i = 0; i < 3; i++) {
      await channel.get(queue);
    }
    await connection.close();
    process.exit(0);
  });
}

amqplib.connect(url).then(mode === 'fill' ? fill : consume).catch((error) => {
  process.stdout.write(error.stack + '\n');
  process.exit(1);
});
