// A Socket.IO server for bench/live: a room of all clients, and POST /publish, which sends an event to it. With
// REDIS_URL it has the Redis adapter. Run in the folder where the packages are installed, with the port as argument.
import { createRequire } from 'node:module';
import http from 'node:http';
import path from 'node:path';

const require = createRequire(path.join(process.cwd(), 'package.json'));
const { Server } = require('socket.io');

const room = 'all';
let sequence = 0;

const server = http.createServer(async (request, response) => {
  let text = '';
  for await (const part of request) text += part;
  const { title, body, data, type, priority } = JSON.parse(text);
  sequence += 1;
  const at = new Date().toISOString();
  io.to(room).emit('event', {
    stream: 'announcements',
    sequence,
    at,
    type: 'announcement.created',
    request_id: '01997b6e-0000-7000-8000-000000000000',
    data: { id: '01997b6e-0000-7000-8000-000000000000', type, priority, title, body, data, at },
  });
  response.writeHead(202, { 'Content-Length': 2, 'Content-Type': 'application/json' }).end('{}');
});

const io = new Server(server, { transports: ['websocket'], perMessageDeflate: false });
if (process.env.REDIS_URL) {
  const { createAdapter } = require('@socket.io/redis-adapter');
  const { createClient } = require('redis');
  const publisher = createClient({ url: process.env.REDIS_URL });
  const subscriber = publisher.duplicate();
  await Promise.all([publisher.connect(), subscriber.connect()]);
  io.adapter(createAdapter(publisher, subscriber));
}
io.on('connection', (socket) => socket.join(room));
server.listen(Number(process.argv[2]), '127.0.0.1');
