// PLAYERS (50) players with a socket each for DURATION (30s). Each follows its streams and its state and clicks once a
// second over the socket. After half of the time it disconnects, and continues from its positions. With ADMIN_TOKEN an
// operator sends an announcement each second: every player must get every one, once and in order.
import http from 'k6/http';
import { check, sleep } from 'k6';
import { Counter, Trend } from 'k6/metrics';
import { WebSocket } from 'k6/experimental/websockets';

import { STATS, summary } from './lib/summary.js';

const BASE = `${__ENV.BASE_URL || 'http://127.0.0.1:8080'}/api/v1`;
const PLAYERS = Number(__ENV.PLAYERS || 50);
const DURATION = __ENV.DURATION || '30s';
const SECONDS = parseInt(DURATION, 10) * (DURATION.endsWith('m') ? 60 : 1);
const OPERATOR = __ENV.ADMIN_TOKEN || '';
const JSON_BODY = { 'Content-Type': 'application/json' };

const calls = new Trend('socket_call_ms', true);
const arrivals = new Trend('event_arrival_ms', true);
const events = new Counter('events_received');

export const options = {
  scenarios: {
    play: { executor: 'per-vu-iterations', vus: PLAYERS, iterations: 1, maxDuration: `${SECONDS + 60}s` },
    ...(OPERATOR && {
      announce: { executor: 'constant-vus', vus: 1, duration: `${SECONDS}s`, exec: 'announce', gracefulStop: '5s' },
    }),
  },
  thresholds: {
    checks: ['rate==1'],
    socket_call_ms: ['p(95)<100'],
    ...(OPERATOR && { event_arrival_ms: ['p(95)<200'], events_received: [`count>${PLAYERS}`] }),
  },
  summaryTrendStats: STATS,
};

export function announce() {
  const body = { to: 'all', type: 'k6', priority: 'low', title: { en: 'Load' }, body: { en: 'Test' }, data: { sent: Date.now() } };
  const headers = Object.assign({ Authorization: `Bearer ${OPERATOR}` }, JSON_BODY);
  const answer = http.post(`${BASE}/admin/notifications`, JSON.stringify(body), { headers, tags: { name: 'announce' } });
  check(answer, { 'an announcement is sent': (r) => r.status === 202 });
  sleep(1);
}

export default function play() {
  const guest = http.post(`${BASE}/auth/guest`, '{}', { headers: JSON_BODY, tags: { name: 'guest' } });
  if (!check(guest, { 'a guest is created': (r) => r.status === 201 })) return;
  const player = { token: guest.json('tokens.access_token'), positions: {}, epoch: undefined, version: -1, call: 0, sent: {} };
  const headers = { Authorization: `Bearer ${player.token}` };
  const streams = http.get(`${BASE}/me/streams`, { headers, tags: { name: 'streams' } });
  check(streams, { 'the streams are listed': (r) => r.status === 200 });
  player.epoch = streams.json('epoch');
  for (const { stream, head } of streams.json('streams')) player.positions[stream] = head;
  connect(player, SECONDS / 2, () => connect(player, SECONDS / 2, () => {}));
}

function connect(player, seconds, then) {
  const socket = new WebSocket(`${BASE.replace(/^http/, 'ws')}/live`, ['idlewatt.v1.json']);
  let clicks;
  let ending = false;
  socket.onopen = () => {
    const streams = Object.entries(player.positions).map(([stream, after]) => ({ stream, after }));
    socket.send(JSON.stringify({ type: 'hello', token: player.token, epoch: player.epoch, topics: ['state'], streams }));
    clicks = setInterval(() => click(socket, player), 1000);
    setTimeout(() => {
      clearInterval(clicks);
      ending = true;
      socket.close(1000);
    }, seconds * 1000);
  };
  socket.onmessage = (message) => receive(player, JSON.parse(message.data));
  socket.onerror = (error) => check(error, { 'no error of a socket': () => false });
  socket.onclose = (closed) => {
    check(closed, { 'the player ends the socket': () => ending });
    clearInterval(clicks);
    then();
  };
}

function click(socket, player) {
  player.call += 1;
  player.sent[player.call] = Date.now();
  const call = { type: 'call', id: player.call, method: 'POST', path: '/me/clicks', body: { clicks: 5 } };
  socket.send(JSON.stringify({ ...call, idempotency_key: `k6-${player.call}` }));
}

function receive(player, frame) {
  if (frame.type === 'event') {
    const { stream, sequence, data } = frame.event;
    check(frame, { 'events come once and in order': () => sequence === player.positions[stream] + 1 });
    player.positions[stream] = sequence;
    events.add(1);
    if (data.data && data.data.sent) arrivals.add(Date.now() - data.data.sent);
  } else if (frame.type === 'state') {
    check(frame, { 'the version never goes back': () => frame.data.version >= player.version });
    player.version = frame.data.version;
  } else if (frame.type === 'result') {
    check(frame, { 'clicks are credited': () => frame.status === 200 && frame.body.accepted > 0 });
    calls.add(Date.now() - player.sent[frame.id]);
  } else if (frame.type === 'subscribed') {
    check(frame, { 'a stream is continued': () => !frame.resync });
  } else {
    check(frame, { 'no problem': () => frame.type !== 'problem' });
  }
}

export const handleSummary = (data) => summary('live', data);
