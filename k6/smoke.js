// Fifty players for half a minute, each with a request per second, spread over the second: sign in, click, buy, read
// the state and the rank. Run it with `make k6-smoke`, or against a running server with BASE_URL=http://host:port; all
// fifty have one address, for which RATE_LIMIT_AUTH_PER_MINUTE and the other limits must be high enough.
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

// A refused purchase is an answer, not a failure.
http.setResponseCallback(http.expectedStatuses({ min: 200, max: 399 }, 409));

let token = null;
let version = -1;
let tag = null;

function headers(extra) {
  return { headers: Object.assign({ Authorization: `Bearer ${token}` }, extra) };
}

function signIn() {
  // Players begin one after the other within the first second, and stay spread like that.
  sleep((__VU - 1) / 50);
  const answer = http.post(`${BASE}/auth/guest`, '{}', { headers: JSON_BODY, tags: { name: 'guest' } });
  check(answer, { 'a guest is let in': (r) => r.status === 201 });
  token = answer.json('tokens.access_token');
}

function post(path, body, name) {
  const params = headers(JSON_BODY);
  params.headers['Idempotency-Key'] = `${__VU}-${__ITER}-${name}`;
  params.tags = { name };
  return http.post(`${BASE}${path}`, JSON.stringify(body), params);
}

function follow(state) {
  check(state, { 'the version never goes back': (s) => s.version >= version });
  version = state.version;
}

function poll() {
  const params = headers(tag === null ? {} : { 'If-None-Match': tag });
  params.tags = { name: 'state' };
  const answer = http.get(`${BASE}/me`, params);
  check(answer, { 'the state is there': (r) => r.status === 200 || r.status === 304 });
  if (answer.status === 200) {
    tag = answer.headers.Etag;
    follow(answer.json());
  }
}

function click() {
  const answer = post('/me/clicks', { clicks: 10 }, 'clicks');
  check(answer, { 'clicks are credited': (r) => r.status === 200 && r.json('accepted') > 0 });
  if (answer.status === 200) follow(answer.json('state'));
}

function buy() {
  const answer = post('/me/generators/hand_crank/purchase', { quantity: 'max' }, 'purchase');
  check(answer, {
    'a purchase is made or refused for want of energy': (r) =>
      r.status === 200 || (r.status === 409 && r.json('code') === 'insufficient_energy'),
  });
  if (answer.status === 200) {
    bought.add(answer.json('purchased'));
    follow(answer.json('state'));
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
