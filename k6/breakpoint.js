// Raises the number of players to PLAYERS (2000) over DURATION (5m), and stops when a threshold fails. The number of
// players at that time is the capacity of the server or of this machine. With more than a thousand players k6 itself
// needs a whole core; `make load` needs less.
import { THRESHOLDS, play, survey } from './lib/player.js';
import { STATS, summary } from './lib/summary.js';

const ABORT_ON_FAILURE = { abortOnFail: true, delayAbortEval: '10s' };

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
      conditions.map((threshold) => Object.assign({ threshold }, ABORT_ON_FAILURE)),
    ]),
  ),
  summaryTrendStats: STATS,
};

export const setup = survey;
export default play;
export const handleSummary = (data) => summary('breakpoint', data);
