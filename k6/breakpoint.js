// More and more players, up to PLAYERS (2000) in DURATION (5m), until a threshold breaks: the last number of players is
// the capacity of the server or of this machine. For more than a thousand players k6 itself needs a core; see `make
// load`.
import { THRESHOLDS, play, survey } from './lib/player.js';
import { STATS, summary } from './lib/summary.js';

const UNTIL_BROKEN = { abortOnFail: true, delayAbortEval: '10s' };

export const options = {
  scenarios: {
    play: {
      executor: 'ramping-vus',
      startVUs: 1,
      stages: [{ duration: __ENV.DURATION || '5m', target: Number(__ENV.PLAYERS || 2000) }],
      gracefulRampDown: '5s',
    },
  },
  thresholds: Object.fromEntries(
    Object.entries(THRESHOLDS).map(([metric, conditions]) => [
      metric,
      conditions.map((threshold) => Object.assign({ threshold }, UNTIL_BROKEN)),
    ]),
  ),
  summaryTrendStats: STATS,
};

export const setup = survey;
export default play;
export const handleSummary = (data) => summary('breakpoint', data);
