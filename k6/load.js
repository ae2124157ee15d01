// PLAYERS (100) players with one request per second each: the number rises for 30 s, stays for DURATION (1m), and falls
// for 10 s.
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
