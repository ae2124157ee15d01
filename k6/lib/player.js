// A player with the requests of the page: one per second, of which 70 of 100 read the state, 20 click, 8 buy, 2 read
// the rankings.
import http from 'k6/http';
import { check, sleep } from 'k6';
import { Counter } from 'k6/metrics';

const BASE = `${__ENV.BASE_URL || 'http://127.0.0.1:8080'}/api/v1`;
const JSON_BODY = { 'Content-Type': 'application/json' };
const refused = new Counter('limited_requests');

// A refused purchase and a request beyond the limit are answers, not failures.
http.setResponseCallback(http.expectedStatuses({ min: 200, max: 399 }, 409, 429));

// Thresholds that all profiles share. A durable write waits for the disk.
export const THRESHOLDS = {
  checks: ['rate>0.999'],
  http_req_failed: ['rate<0.001'],
  'http_req_duration{name:state}': ['p(95)<100', 'p(99)<250'],
  'http_req_duration{name:clicks}': ['p(95)<200', 'p(99)<500'],
  'http_req_duration{name:purchase}': ['p(95)<200', 'p(99)<500'],
  'http_req_duration{name:rankings}': ['p(95)<100', 'p(99)<250'],
};

// Each virtual user is one player.
let token = null;
let version = -1;
let tag = null;
let turn = 0;

function authorized(name, extra) {
  const headers = Object.assign({ Authorization: `Bearer ${token}` }, extra);
  return { headers, tags: { name } };
}

function signIn() {
  const answer = http.post(`${BASE}/auth/guest`, '{}', { headers: JSON_BODY, tags: { name: 'guest' } });
  if (answer.status === 429) {
    // All players of a test have one address, whose sign-ins the server limits.
    sleep(Number(answer.headers['Retry-After'] || 1));
    return;
  }
  if (check(answer, { 'a guest is let in': (r) => r.status === 201 })) {
    token = answer.json('tokens.access_token');
  }
}

function post(path, body, name) {
  const params = authorized(name, JSON_BODY);
  params.headers['Idempotency-Key'] = `${__VU}-${turn}-${name}`;
  return http.post(`${BASE}${path}`, JSON.stringify(body), params);
}

function follow(state) {
  check(state, { 'the version never goes back': (s) => s.version >= version });
  version = state.version;
}

// A refusal by the limit is counted; any other status that is no answer fails `met`.
function answered(answer, what, met) {
  if (answer.status === 429) {
    refused.add(1);
    return false;
  }
  if (answer.status === 401) {
    // In a long run the access token has expired; a new player replaces this one.
    token = null;
    version = -1;
    tag = null;
    return false;
  }
  return check(answer, { [what]: met });
}

function poll() {
  const answer = http.get(`${BASE}/me`, authorized('state', tag === null ? {} : { 'If-None-Match': tag }));
  if (answered(answer, 'the state is there', (r) => r.status === 200 || r.status === 304) && answer.status === 200) {
    tag = answer.headers.Etag;
    follow(answer.json());
  }
}

function click() {
  const answer = post('/me/clicks', { clicks: 10 }, 'clicks');
  if (answered(answer, 'clicks are credited', (r) => r.status === 200)) follow(answer.json('state'));
}

function buy() {
  const answer = post('/me/generators/hand_crank/purchase', { quantity: 1 }, 'purchase');
  const fair = (r) => r.status === 200 || (r.status === 409 && r.json('code') === 'insufficient_energy');
  if (answered(answer, 'a purchase is made or refused for want of energy', fair) && answer.status === 200) {
    follow(answer.json('state'));
  }
}

function rank() {
  const answer = http.get(`${BASE}/rankings`, authorized('rankings'));
  answered(answer, 'the rankings are there', (r) => r.status === 200);
}

// What the server supports, asked once: without rankings the other requests are sent more often.
export function survey() {
  const probe = http.get(`${BASE}/rankings`, { tags: { name: 'survey' }, responseCallback: null });
  return { rankings: probe.status !== 404 };
}

// One second of play.
export function play(server) {
  const started = Date.now();
  turn += 1;
  if (token === null) {
    // Players are not synchronised.
    if (turn === 1) sleep(Math.random());
    signIn();
  } else {
    const chance = Math.random() * 100;
    if (chance < 2 && server.rankings) rank();
    else if (chance < 10) buy();
    else if (chance < 30) click();
    else poll();
  }
  sleep(Math.max(0, 1 - (Date.now() - started) / 1000));
}
