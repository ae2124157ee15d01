// The rules of the game that a page needs to show what will be. The server decides.
import type { Catalog, Generator, State, Upgrade } from "./types";

/** Energy at a time of the server, in milliseconds: what the state says, and production since. */
export function energyAt(state: State, now: number): number {
  const until = Math.min(now, Date.parse(state.accrues_until));
  const seconds = Math.max(0, (until - Date.parse(state.server_time)) / 1000);
  return state.energy + state.energy_per_second * seconds;
}

/** How many units of a generator the player owns. */
export function owned(state: State, id: string): number {
  return state.generators.find((it) => it.id === id)?.owned ?? 0;
}

/** The cost of the next `count` units: a geometric series. */
export function costOf(generator: Generator, have: number, count: number): number {
  const { base_cost, cost_growth } = generator;
  const next = base_cost * cost_growth ** have;
  return cost_growth === 1 ? next * count : (next * (cost_growth ** count - 1)) / (cost_growth - 1);
}

/** How many units are affordable. */
export function affordable(generator: Generator, have: number, energy: number): number {
  const { base_cost, cost_growth } = generator;
  const next = base_cost * cost_growth ** have;
  if (energy < next) return 0;
  const raw =
    cost_growth === 1 ? energy / next : Math.log1p((energy * (cost_growth - 1)) / next) / Math.log(cost_growth);
  let count = Math.min(Math.floor(raw + 1e-9), 1_000_000);
  while (count > 0 && costOf(generator, have, count) > energy) count -= 1;
  return count;
}

/** The production of one unit with the player's upgrades and cores. */
export function rateOfOne(generator: Generator, state: State, catalog: Catalog): number {
  const mine = state.generators.find((it) => it.id === generator.id);
  if (mine !== undefined && mine.owned > 0) return mine.energy_per_second / mine.owned;
  let factor = 1 + state.cores * catalog.rules.bonus_per_core;
  for (const upgrade of catalog.upgrades) {
    if (!state.upgrades.includes(upgrade.id)) continue;
    const { effect } = upgrade;
    if (effect.type === "global_multiplier") factor *= effect.multiplier;
    if (effect.type === "generator_multiplier" && effect.generator === generator.id) factor *= effect.multiplier;
  }
  return generator.base_energy_per_second * factor;
}

/** Whether the player meets the requirement of an upgrade. */
export function meets(upgrade: Upgrade, state: State): boolean {
  const { requires } = upgrade;
  if (requires === null) return true;
  return requires.type === "generator_owned"
    ? owned(state, requires.generator) >= requires.count
    : state.lifetime_energy >= requires.energy;
}

/** The cores that prestige would give now. */
export function coresGained(state: State, lifetime: number, catalog: Catalog): number {
  return Math.max(0, Math.floor(Math.sqrt(lifetime / catalog.rules.energy_per_core)) - state.cores);
}

/** Seconds until `cost` is affordable at the present rate; infinite without production. */
export function secondsUntil(cost: number, energy: number, rate: number): number {
  if (energy >= cost) return 0;
  return rate > 0 ? (cost - energy) / rate : Number.POSITIVE_INFINITY;
}
