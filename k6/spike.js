// A few players, then within five seconds PLAYERS (300), as when a popular stream links to the game; then few again.
// All must be answered, and the few must not notice anything afterwards.
import { THRESHOLDS, play, survey } from './lib/player.js';
import { STATS, summary } from './lib/summary.js';

const PLAYERS = Number(__ENV.PLAYERS || 300);
const FEW = Math.max(1, Math.round(PLAYERS / 10));

export const options = {
  scenarios: {
    play: {
      executor: 'ramping-vus',
      startVUs: 0,
      stages: [
        { duration: '10s', target: FEW },
        { duration: '5s', target: PLAYERS },
        { duration: __ENV.DURATION || '30s', target: PLAYERS },
        { duration: '5s', target: FEW },
        { duration: '20s', target: FEW },
      ],
      gracefulRampDown: '5s',
    },
  },
  thresholds: THRESHOLDS,
  summaryTrendStats: STATS,
};

export const setup = survey;
export default play;
export const handleSummary = (data) => summary('spike', data);
