// The summary of a test: text on the terminal, and an HTML page in the folder SUMMARY_DIR if that is set.

const ROWS = ['guest', 'state', 'clicks', 'purchase', 'rankings'];
// Metrics with times of their own.
const TRENDS = { socket_call_ms: 'socket call', event_arrival_ms: 'event' };
const COLUMNS = ['med', 'p(95)', 'p(99)', 'max'];

export const STATS = ['count', 'avg', 'min', 'med', 'max', 'p(95)', 'p(99)'];

function number(value, digits = 1) {
  return value === undefined ? '-' : value.toFixed(digits);
}

function rows(data) {
  const requests = ROWS.map((name) => [name, data.metrics[`http_req_duration{name:${name}}`]]);
  const others = Object.entries(TRENDS).map(([metric, name]) => [name, data.metrics[metric]]);
  return [...requests, ...others]
    .filter(([, metric]) => metric !== undefined && metric.values.count > 0)
    .map(([name, metric]) => ({ name, count: metric.values.count, times: COLUMNS.map((it) => number(metric.values[it])) }));
}

function verdicts(data) {
  const found = [];
  for (const [metric, { thresholds }] of Object.entries(data.metrics)) {
    for (const [expression, { ok }] of Object.entries(thresholds || {})) found.push({ metric, expression, ok });
  }
  return found;
}

function facts(data) {
  const values = (name) => (data.metrics[name] || { values: {} }).values;
  return [
    ['maximum players', values('vus_max').value],
    ['requests', values('http_reqs').count],
    ['requests per second', number(values('http_reqs').rate)],
    ['failed', `${number((values('http_req_failed').rate || 0) * 100, 3)} %`],
    ['refused by rate limits', values('limited_requests').count || 0],
  ];
}

function text(name, data) {
  const lines = [`\n${name}`];
  for (const [what, value] of facts(data)) lines.push(`  ${what.padEnd(24)}${value}`);
  lines.push(`\n  ${'milliseconds'.padEnd(12)}${['count', ...COLUMNS].map((it) => it.padStart(10)).join('')}`);
  for (const row of rows(data)) {
    lines.push(`  ${row.name.padEnd(12)}${[String(row.count), ...row.times].map((it) => it.padStart(10)).join('')}`);
  }
  lines.push('');
  for (const { metric, expression, ok } of verdicts(data)) lines.push(`  ${ok ? 'ok    ' : 'FAILED'} ${metric} ${expression}`);
  for (const { name: check, fails } of data.root_group.checks) if (fails > 0) lines.push(`  FAILED ${fails} times: ${check}`);
  return `${lines.join('\n')}\n`;
}

function escape(value) {
  return String(value).replace(/[&<>]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[c]);
}

function page(name, data) {
  const cells = (values, tag = 'td') => values.map((it) => `<${tag}>${escape(it)}</${tag}>`).join('');
  const table = (head, body) => `<table><tr>${cells(head, 'th')}</tr>${body.map((it) => `<tr>${cells(it)}</tr>`).join('')}</table>`;
  const times = rows(data).map((row) => [row.name, row.count, ...row.times]);
  const judged = verdicts(data).map(({ metric, expression, ok }) => [ok ? 'ok' : 'FAILED', metric, expression]);
  return `<!doctype html><meta charset="utf-8"><title>${escape(name)}</title>
<style>body{font:15px system-ui;margin:2em;max-width:60em}table{border-collapse:collapse;margin:1em 0}
td,th{border:1px solid #ccc;padding:.3em .7em;text-align:right}td:first-child{text-align:left}</style>
<h1>${escape(name)}</h1>${table(['', ''], facts(data))}
<h2>Milliseconds</h2>${table(['', 'count', ...COLUMNS], times)}
<h2>Thresholds</h2>${table(['', 'metric', 'condition'], judged)}`;
}

export function summary(name, data) {
  const written = { stdout: text(name, data) };
  if (__ENV.SUMMARY_DIR) written[`${__ENV.SUMMARY_DIR}/k6-${name}.html`] = page(name, data);
  return written;
}
