import { describe, expect, it } from "vitest";
import { affordable, coresGained, costOf, energyAt, meets, rateOfOne, secondsUntil } from "./formula";
import type { Catalog, Generator, State, Upgrade } from "./types";

const crank: Generator = {
  id: "hand_crank",
  name: "Hand crank",
  description: "",
  base_cost: 10,
  cost_growth: 1.1,
  base_energy_per_second: 0.15,
  available: true,
};

const state = (change: Partial<State> = {}): State => ({
  player_id: "p",
  display_name: "Ada",
  username: null,
  language: null,
  energy: 10,
  lifetime_energy: 10,
  energy_per_second: 2,
  energy_per_click: 1,
  cores: 0,
  version: 1,
  generators: [],
  upgrades: [],
  epoch: "e",
  accrues_until: "2026-01-05T00:01:00.000Z",
  server_time: "2026-01-05T00:00:00.000Z",
  ...change,
});

describe("the formula", () => {
  const start = Date.parse("2026-01-05T00:00:00.000Z");

  it("adds production until the player counts as absent", () => {
    expect(energyAt(state(), start + 3000)).toBe(16);
    expect(energyAt(state(), start + 3_600_000)).toBe(130);
    expect(energyAt(state(), start - 5000)).toBe(10);
  });

  it("sums the costs of several units, and affords exactly what they cost", () => {
    expect(costOf(crank, 0, 2)).toBeCloseTo(21);
    for (const [have, energy] of [
      [0, 21],
      [0, 20.9],
      [3, 1000],
      [40, 1e6],
      [0, 9.99],
    ] as const) {
      const count = affordable(crank, have, energy);
      expect(count === 0 || costOf(crank, have, count) <= energy).toBe(true);
      expect(costOf(crank, have, count + 1)).toBeGreaterThan(energy);
    }
  });

  it("knows what one more machine produces", () => {
    const double: Upgrade = {
      id: "oil",
      name: "",
      description: "",
      cost: 1,
      effect: { type: "generator_multiplier", generator: "hand_crank", multiplier: 2 },
      requires: { type: "generator_owned", generator: "hand_crank", count: 10 },
      available: true,
    };
    const rules = { bonus_per_core: 0.02, energy_per_core: 1e9 } as Catalog["rules"];
    const catalog: Catalog = { version: 1, effective_at: "", generators: [crank], upgrades: [double], rules };
    expect(rateOfOne(crank, state({ upgrades: ["oil"], cores: 50 }), catalog)).toBeCloseTo(0.6);
    const two = { id: "hand_crank", owned: 2, next_cost: 12, energy_per_second: 0.8 };
    expect(rateOfOne(crank, state({ generators: [two] }), catalog)).toBeCloseTo(0.4);
    expect(meets(double, state({ generators: [{ ...two, owned: 9 }] }))).toBe(false);
    expect(meets(double, state({ generators: [{ ...two, owned: 10 }] }))).toBe(true);
    expect(coresGained(state({ cores: 1 }), 9.1e9, catalog)).toBe(2);
  });

  it("says how long to wait", () => {
    expect([secondsUntil(10, 20, 0), secondsUntil(20, 10, 2), secondsUntil(20, 10, 0)]).toEqual([0, 5, Infinity]);
  });
});
