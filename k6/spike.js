// A tenth of PLAYERS (300), then within five seconds all of them, as when a popular stream links to the game, then a
// tenth again. All requests must be answered, and the thresholds must also hold for the remaining players.
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
