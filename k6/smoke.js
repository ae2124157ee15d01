// Fifty players for half a minute, with one request per second each, evenly spread over the second: they sign in,
// click, buy, and read their state. Run it with `make k6-smoke`, or against a running server with
// BASE_URL=http://host:port. All players have the same address, so RATE_LIMIT_AUTH_PER_MINUTE and the other limits must
// be high enough.
import http from 'k6/http';
import { check, sleep } from 'k6';
import { Counter } from 'k6/metrics';

const BASE = `${__ENV.BASE_URL || 'http://127.0.0.1:8080'}/api/v1`;
const JSON_BODY = { 'Content-Type': 'application/json' };
const bought = new Counter('generators_bought');

export const options = {
  scenarios: {
    play: { executor: 'constant-vus', vus: 50, duration: '30s', gracefulStop: '5s' },
  },
  thresholds: {
    checks: ['rate==1'],
    http_req_failed: ['rate==0'],
    http_req_duration: ['p(95)<250'],
    generators_bought: ['count>=50'],
  },
};

// A refused purchase (409) does not count as a failed request.
http.setResponseCallback(http.expectedStatuses({ min: 200, max: 399 }, 409));

let token = null;
let version = -1;
let tag = null;

function headers(extra) {
  return { headers: Object.assign({ Authorization: `Bearer ${token}` }, extra) };
}

function signIn() {
  // Players start one after the other within the first second, and therefore stay evenly spread.
  sleep((__VU - 1) / 50);
  const answer = http.post(`${BASE}/auth/guest`, '{}', { headers: JSON_BODY, tags: { name: 'guest' } });
  check(answer, { 'a guest is created': (r) => r.status === 201 });
  token = answer.json('tokens.access_token');
}

function post(path, body, name) {
  const params = headers(JSON_BODY);
  params.headers['Idempotency-Key'] = `${__VU}-${__ITER}-${name}`;
  params.tags = { name };
  return http.post(`${BASE}${path}`, JSON.stringify(body), params);
}

function checkVersion(state) {
  check(state, { 'the version never goes back': (s) => s.version >= version });
  version = state.version;
}

function poll() {
  const params = headers(tag === null ? {} : { 'If-None-Match': tag });
  params.tags = { name: 'state' };
  const answer = http.get(`${BASE}/me`, params);
  check(answer, { 'the state is returned': (r) => r.status === 200 || r.status === 304 });
  if (answer.status === 200) {
    tag = answer.headers.Etag;
    checkVersion(answer.json());
  }
}

function click() {
  const answer = post('/me/clicks', { clicks: 10 }, 'clicks');
  check(answer, { 'clicks are credited': (r) => r.status === 200 && r.json('accepted') > 0 });
  if (answer.status === 200) checkVersion(answer.json('state'));
}

function buy() {
  const answer = post('/me/generators/hand_crank/purchase', { quantity: 'max' }, 'purchase');
  check(answer, {
    'a purchase is made or refused for lack of energy': (r) =>
      r.status === 200 || (r.status === 409 && r.json('code') === 'insufficient_energy'),
  });
  if (answer.status === 200) {
    bought.add(answer.json('purchased'));
    checkVersion(answer.json('state'));
  }
}

export default function play() {
  const started = Date.now();
  if (token === null) {
    signIn();
  } else if (__ITER % 10 === 5) {
    buy();
  } else if (__ITER % 10 < 3) {
    click();
  } else {
    poll();
  }
  sleep(Math.max(0, 1 - (Date.now() - started) / 1000));
}
