// A simulated player with the same mix of requests as the page: one per second; 70 % read the state, 20 % click, 8 %
// buy, and 2 % read the rankings.
import http from 'k6/http';
import { check, sleep } from 'k6';
import { Counter } from 'k6/metrics';

const BASE = `${__ENV.BASE_URL || 'http://127.0.0.1:8080'}/api/v1`;
const JSON_BODY = { 'Content-Type': 'application/json' };
const refused = new Counter('limited_requests');

// A refused purchase (409) and a request beyond the rate limit (429) do not count as failed requests.
http.setResponseCallback(http.expectedStatuses({ min: 200, max: 399 }, 409, 429));

// The thresholds of all tests. Writes have higher ones, because they wait for the disk.
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
    // All players of a test have the same address, and the server limits sign-ins per address.
    sleep(Number(answer.headers['Retry-After'] || 1));
    return;
  }
  if (check(answer, { 'a guest is created': (r) => r.status === 201 })) {
    token = answer.json('tokens.access_token');
  }
}

function post(path, body, name) {
  const params = authorized(name, JSON_BODY);
  params.headers['Idempotency-Key'] = `${__VU}-${turn}-${name}`;
  return http.post(`${BASE}${path}`, JSON.stringify(body), params);
}

function checkVersion(state) {
  check(state, { 'the version never goes back': (s) => s.version >= version });
  version = state.version;
}

// Whether the answer satisfies `expected`. Answers 429 and 401 are not checked: the former are counted.
function passes(answer, what, expected) {
  if (answer.status === 429) {
    refused.add(1);
    return false;
  }
  if (answer.status === 401) {
    // The access token has expired, in a long run. A new player replaces this one.
    token = null;
    version = -1;
    tag = null;
    return false;
  }
  return check(answer, { [what]: expected });
}

function poll() {
  const answer = http.get(`${BASE}/me`, authorized('state', tag === null ? {} : { 'If-None-Match': tag }));
  if (passes(answer, 'the state is returned', (r) => r.status === 200 || r.status === 304) && answer.status === 200) {
    tag = answer.headers.Etag;
    checkVersion(answer.json());
  }
}

function click() {
  const answer = post('/me/clicks', { clicks: 10 }, 'clicks');
  if (passes(answer, 'clicks are credited', (r) => r.status === 200)) checkVersion(answer.json('state'));
}

function buy() {
  const answer = post('/me/generators/hand_crank/purchase', { quantity: 1 }, 'purchase');
  const expected = (r) => r.status === 200 || (r.status === 409 && r.json('code') === 'insufficient_energy');
  if (passes(answer, 'a purchase is made or refused for lack of energy', expected) && answer.status === 200) {
    checkVersion(answer.json('state'));
  }
}

function rank() {
  const answer = http.get(`${BASE}/rankings`, authorized('rankings'));
  passes(answer, 'the rankings are returned', (r) => r.status === 200);
}

// Runs once before the test. If the server has no rankings, players make a purchase instead of reading them.
export function survey() {
  const probe = http.get(`${BASE}/rankings`, { tags: { name: 'survey' }, responseCallback: null });
  return { rankings: probe.status !== 404 };
}

// One iteration: at most one request, then a pause until one second has passed.
export function play(server) {
  const started = Date.now();
  turn += 1;
  if (token === null) {
    // A random delay, so that the players do not send their requests at the same time.
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
