// PLAYERS (50) players for DURATION (1h), to find leaks and problems with expired data and disk space. Watch the memory
// and the open files of the server process during the test.
import { THRESHOLDS, play, survey } from './lib/player.js';
import { STATS, summary } from './lib/summary.js';

export const options = {
  scenarios: {
    play: {
      executor: 'constant-vus',
      vus: Number(__ENV.PLAYERS || 50),
      duration: __ENV.DURATION || '1h',
      gracefulStop: '5s',
    },
  },
  thresholds: THRESHOLDS,
  summaryTrendStats: STATS,
};

export const setup = survey;
export default play;
export const handleSummary = (data) => summary('soak', data);
