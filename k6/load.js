// PLAYERS (100) players, each with a request per second: they arrive within half a minute, play for DURATION (1m), and
// leave.
import { THRESHOLDS, play, survey } from './lib/player.js';
import { STATS, summary } from './lib/summary.js';

const PLAYERS = Number(__ENV.PLAYERS || 100);

export const options = {
  scenarios: {
    play: {
      executor: 'ramping-vus',
      startVUs: 0,
      stages: [
        { duration: '30s', target: PLAYERS },
        { duration: __ENV.DURATION || '1m', target: PLAYERS },
        { duration: '10s', target: 0 },
      ],
      gracefulRampDown: '5s',
    },
  },
  thresholds: THRESHOLDS,
  summaryTrendStats: STATS,
};

export const setup = survey;
export default play;
export const handleSummary = (data) => summary('load', data);
