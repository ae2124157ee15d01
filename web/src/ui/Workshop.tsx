import { useEffect, useMemo, useRef, useState } from "react";
import {
  affordable,
  type Catalog,
  costOf,
  type Effect,
  type Generator,
  meets,
  owned,
  rateOfOne,
  type State,
  secondsUntil,
  type Upgrade,
} from "../client";
import { useClient, useEnergy, useGame, useSetting, useTicker } from "../hooks";
import { useWords, type Words } from "../i18n";
import { Dialog } from "./Dialog";
import { useKeys } from "./keys";
import { Lamp } from "./Lamp";
import { LampMark } from "./LampMark";
import { MachineIcon } from "./MachineIcon";
import { useHold } from "./useHold";
import css from "./workshop.module.css";

type Amount = "1" | "10" | "100" | "max";
const AMOUNTS: Amount[] = ["1", "10", "100", "max"];
/** Upgrades out of reach that are shown as a promise. */
const SHOWN_LATER = 4;

export function Workshop() {
  const { m } = useWords();
  const { state, catalog } = useGame();
  if (state === undefined || catalog === undefined) return <Opening text={m.loading} />;
  return <Floor state={state} catalog={catalog} />;
}

/** The workshop before anything is known. It looks like that of index.html, which it replaces. */
function Opening({ text }: { text: string }) {
  return (
    <div className="opening">
      <LampMark />
      <p>{text}</p>
    </div>
  );
}

function Floor({ state, catalog }: { state: State; catalog: Catalog }) {
  const { game } = useClient();
  const energy = useEnergy();
  const [amount, setAmount] = useSetting<Amount>("amount", "1");
  const light = lightOf(state.energy_per_second);
  useEffect(() => {
    document.documentElement.style.setProperty("--light", light.toFixed(3));
  }, [light]);
  const buy = (generator: Generator) => {
    const offer = offerOf(generator, amount, owned(state, generator.id), energy);
    if (offer.isAffordable) game.buyGenerator(generator.id, amount === "max" ? "max" : Number(amount));
  };
  const upgrades = useMemo(() => catalog.upgrades.filter((it) => it.available), [catalog]);
  const machines = state.generators.filter((it) => it.owned > 0).map((it) => it.id);
  const open = upgrades.filter((it) => !state.upgrades.includes(it.id));
  const ready = open.filter((it) => meets(it, state)).sort((a, b) => a.cost - b.cost);
  const later = open.filter((it) => !meets(it, state)).sort((a, b) => a.cost - b.cost);
  useKeys({
    click: () => game.click(),
    buy: (index) => {
      const generator = catalog.generators[index];
      if (generator !== undefined) buy(generator);
    },
    upgrade: () => {
      const first = ready.find((it) => it.cost <= energy);
      if (first !== undefined) game.buyUpgrade(first.id);
    },
  });
  return (
    <div className={css.floor}>
      <section className={css.bench}>
        <EnergyDisplay state={state} />
        <Lamp light={light} machines={machines} />
        <NextStep state={state} catalog={catalog} energy={energy} ready={ready} />
        <Prestige state={state} catalog={catalog} />
      </section>
      <Machines state={state} catalog={catalog} energy={energy} amount={amount} setAmount={setAmount} buy={buy} />
      <Upgrades state={state} catalog={catalog} energy={energy} ready={ready} later={later} />
    </div>
  );
}

/** How bright the workshop is, from 0 to 1: the logarithm of the rate, so that the first machines are seen too. */
export function lightOf(rate: number): number {
  return Math.min(1, Math.log10(1 + 10 * rate) / 10) ** 0.75;
}

function EnergyDisplay({ state }: { state: State }) {
  const { game } = useClient();
  const { m, number } = useWords();
  const text = useRef<HTMLSpanElement>(null);
  useTicker(() => {
    const shown = number(game.energy(), true);
    if (text.current !== null && text.current.textContent !== shown) text.current.textContent = shown;
  });
  return (
    <div className={css.energy}>
      <p className={css.number}>
        <span ref={text} data-testid="energy" aria-hidden="true" /> <span className={css.unit}>{m.energy}</span>
      </p>
      <p className={css.rate}>{m.perSecond(number(state.energy_per_second))}</p>
    </div>
  );
}

/** What to do next, in one sentence. */
function NextStep({
  state,
  catalog,
  energy,
  ready,
}: {
  state: State;
  catalog: Catalog;
  energy: number;
  ready: Upgrade[];
}) {
  const { m, span, item } = useWords();
  const rate = state.energy_per_second;
  const goals = [
    ...catalog.generators
      .filter((it, index) => it.available && isKnown(catalog, state, index))
      .map((it) => {
        const cost = costOf(it, owned(state, it.id), 1);
        return { item: it, cost, worth: rateOfOne(it, state, catalog) / cost };
      }),
    ...ready.map((it) => ({ item: it, cost: it.cost, worth: Math.max(rate, 1) / 4 / it.cost })),
  ];
  // What pays back soonest, the wait included.
  const scored = goals.map((goal) => {
    const wait = secondsUntil(goal.cost, energy, rate);
    return { ...goal, wait, score: (Number.isFinite(wait) ? wait : 1e9) + 1 / goal.worth };
  });
  const best = scored.sort((a, b) => a.score - b.score)[0];
  let text = m.nextStep.click;
  if (best !== undefined && best.wait === 0) text = m.nextStep.buy(item(best.item));
  else if (best !== undefined && rate > 0) text = m.nextStep.wait(item(best.item), span(best.wait));
  return (
    <p className={css.next}>
      <b>{m.nextStep.title}</b> {text}
    </p>
  );
}

interface Offer {
  count: number;
  cost: number;
  isAffordable: boolean;
}

function offerOf(generator: Generator, amount: Amount, have: number, energy: number): Offer {
  const most = affordable(generator, have, energy);
  const count = amount === "max" ? Math.max(1, most) : Number(amount);
  return { count, cost: costOf(generator, have, count), isAffordable: generator.available && count <= most };
}

/** Whether a machine is shown with its name: those owned, and the next one. */
function isKnown(catalog: Catalog, state: State, index: number): boolean {
  const generator = catalog.generators[index];
  if (generator === undefined) return false;
  const before = catalog.generators[index - 1];
  return (
    owned(state, generator.id) > 0 ||
    before === undefined ||
    owned(state, before.id) > 0 ||
    state.lifetime_energy >= generator.base_cost / 2
  );
}

interface MachinesProps {
  state: State;
  catalog: Catalog;
  energy: number;
  amount: Amount;
  setAmount(amount: Amount): void;
  buy(generator: Generator): void;
}

function Machines({ state, catalog, energy, amount, setAmount, buy }: MachinesProps) {
  const { m } = useWords();
  return (
    <section className={css.machines} aria-labelledby="machines-title">
      <div className={css.head}>
        <h2 id="machines-title">{m.machines}</h2>
        <fieldset className={css.amounts}>
          <legend className="hidden">{m.buyAmount}</legend>
          {AMOUNTS.map((it) => (
            <label key={it}>
              <input type="radio" name="amount" checked={amount === it} onChange={() => setAmount(it)} />
              {it === "max" ? m.max : `×${it}`}
            </label>
          ))}
        </fieldset>
      </div>
      <ul>
        {catalog.generators.map((generator, index) => (
          <Machine
            key={generator.id}
            generator={generator}
            state={state}
            catalog={catalog}
            energy={energy}
            amount={amount}
            known={isKnown(catalog, state, index)}
            buy={buy}
          />
        ))}
      </ul>
    </section>
  );
}

interface MachineProps {
  generator: Generator;
  state: State;
  catalog: Catalog;
  energy: number;
  amount: Amount;
  known: boolean;
  buy(generator: Generator): void;
}

function Machine({ generator, state, catalog, energy, amount, known, buy }: MachineProps) {
  const { m, number, span, item, describe } = useWords();
  const { pendingPurchases } = useGame();
  const have = owned(state, generator.id);
  const { count, cost, isAffordable } = offerOf(generator, amount, have, energy);
  const each = rateOfOne(generator, state, catalog);
  const wait = secondsUntil(cost, energy, state.energy_per_second);
  const name = known ? item(generator) : m.unknownMachine;
  const isBusy = pendingPurchases.includes(generator.id);
  // One purchase at a time, as the cost of the next one follows from it.
  const hold = useHold(() => !isBusy && buy(generator));
  return (
    <li className={css.machine} data-known={known} data-owned={have > 0}>
      <MachineIcon id={generator.id} />
      <div className={css.what}>
        <h3 title={known ? describe(generator) : undefined}>{name}</h3>
        <p>
          {known ? (
            <>
              {have > 0 ? `${m.produces(number(each * have))} · ` : ""}
              {m.each(number(each))} · {m.payback(span(cost / (each * count)))}
            </>
          ) : (
            m.unknownHint(number(generator.base_cost / 2))
          )}
        </p>
      </div>
      <span className={css.count}>
        <span className="hidden">{m.owned(String(have))}</span>
        <span aria-hidden="true">{have > 0 ? number(have) : ""}</span>
      </span>
      <button
        type="button"
        className={css.buy}
        data-testid={`buy-${generator.id}`}
        aria-disabled={!isAffordable}
        data-busy={isBusy}
        onClick={() => buy(generator)}
        {...hold}
      >
        <span>{m.buy(number(count))}</span>
        <b>
          <Bolt /> {number(cost)}
        </b>
        <small>{isAffordable || !known ? "" : waitText(wait, m, span)}</small>
      </button>
    </li>
  );
}

/** Waits beyond this are not worth telling. */
const LONGEST_WAIT = 100 * 86_400;

function waitText(wait: number, m: Words["m"], span: Words["span"]): string {
  if (!Number.isFinite(wait)) return m.never;
  return wait > LONGEST_WAIT ? m.faraway : m.affordableIn(span(wait));
}

interface UpgradesProps {
  state: State;
  catalog: Catalog;
  energy: number;
  ready: Upgrade[];
  later: Upgrade[];
}

function Upgrades({ state, catalog, energy, ready, later }: UpgradesProps) {
  const { m, number } = useWords();
  const hidden = later.length - SHOWN_LATER;
  return (
    <section className={css.upgrades} aria-labelledby="upgrades-title">
      <div className={css.head}>
        <h2 id="upgrades-title">{m.upgrades}</h2>
        {state.upgrades.length > 0 && <small>{m.installed(number(state.upgrades.length))}</small>}
      </div>
      <ul>
        {ready.map((it) => (
          <UpgradeCard key={it.id} upgrade={it} state={state} catalog={catalog} energy={energy} ready />
        ))}
        {later.slice(0, SHOWN_LATER).map((it) => (
          <UpgradeCard key={it.id} upgrade={it} state={state} catalog={catalog} energy={energy} ready={false} />
        ))}
      </ul>
      {ready.length === 0 && <p className={css.quiet}>{m.noUpgrades}</p>}
      {hidden > 0 && <p className={css.quiet}>{m.laterUpgrades(number(hidden))}</p>}
    </section>
  );
}

interface UpgradeCardProps {
  upgrade: Upgrade;
  state: State;
  catalog: Catalog;
  energy: number;
  ready: boolean;
}

function UpgradeCard({ upgrade, state, catalog, energy, ready }: UpgradeCardProps) {
  const { game } = useClient();
  const words = useWords();
  const { m, number, span, item, describe } = words;
  const { pendingPurchases } = useGame();
  const isAffordable = ready && energy >= upgrade.cost;
  const wait = secondsUntil(upgrade.cost, energy, state.energy_per_second);
  return (
    <li>
      <button
        type="button"
        className={css.upgrade}
        data-testid={`upgrade-${upgrade.id}`}
        data-ready={ready}
        data-busy={pendingPurchases.includes(upgrade.id)}
        aria-disabled={!isAffordable}
        title={describe(upgrade)}
        onClick={() => isAffordable && game.buyUpgrade(upgrade.id)}
      >
        <span className={css.upgradeName}>{item(upgrade)}</span>
        <b>
          <Bolt /> {number(upgrade.cost)}
        </b>
        <span className={css.effect}>
          {ready ? effectText(upgrade.effect, catalog, words) : requirementText(upgrade, catalog, words)}
        </span>
        {ready && !isAffordable && <small>{waitText(wait, m, span)}</small>}
      </button>
    </li>
  );
}

function machineName(id: string, catalog: Catalog, { item }: Words): string {
  const known = catalog.generators.find((it) => it.id === id);
  return known === undefined ? id : item(known);
}

function effectText(effect: Effect, catalog: Catalog, words: Words): string {
  const { m, number } = words;
  switch (effect.type) {
    case "generator_multiplier":
      return m.effects.generator(machineName(effect.generator, catalog, words), number(effect.multiplier));
    case "global_multiplier":
      return m.effects.global(number(effect.multiplier));
    case "click_flat":
      return m.effects.clickFlat(number(effect.energy));
    case "click_share":
      return m.effects.clickShare(number(effect.share * 100));
    case "offline_cap":
      return m.effects.offlineCap(number(effect.seconds / 3600));
  }
}

function requirementText(upgrade: Upgrade, catalog: Catalog, words: Words): string {
  const { requires } = upgrade;
  if (requires === null) return "";
  return requires.type === "generator_owned"
    ? words.m.requires.generator(words.number(requires.count), machineName(requires.generator, catalog, words))
    : words.m.requires.lifetime(words.number(requires.energy));
}

function Bolt() {
  return (
    <svg className={css.bolt} viewBox="0 0 10 14" aria-hidden="true">
      <path d="M6 0 0 8h4l-1 6 7-9H5.5Z" />
    </svg>
  );
}

function Prestige({ state, catalog }: { state: State; catalog: Catalog }) {
  const { game } = useClient();
  const { m, number } = useWords();
  const [gain, setGain] = useState(() => game.coresGained());
  const [isAsking, setAsking] = useState(false);
  useTicker(() => setGain(game.coresGained()), 1000);
  const { bonus_per_core, energy_per_core } = catalog.rules;
  const percent = (cores: number) => number(cores * bonus_per_core * 100);
  const isVisible = state.cores > 0 || state.lifetime_energy >= energy_per_core / 100;
  if (!isVisible) return null;
  const next = (state.cores + 1) ** 2 * energy_per_core;
  const begin = () => {
    setAsking(false);
    void game.prestige().catch(() => game.wake());
  };
  return (
    <div className={css.prestige}>
      <p>
        <b>{m.prestige.cores(number(state.cores))}</b>
        {state.cores > 0 && <> · {m.prestige.bonus(percent(state.cores))}</>}
      </p>
      {gain > 0 ? (
        <button type="button" data-testid="prestige" onClick={() => setAsking(true)}>
          {m.prestige.open} (+{number(gain)})
        </button>
      ) : (
        <small>{m.prestige.locked(number(next))}</small>
      )}
      {isAsking && (
        <Dialog title={m.prestige.title} onClose={() => setAsking(false)}>
          <p>{m.prestige.explain}</p>
          <p>
            <b>{m.prestige.gain(number(gain), percent(gain))}</b>
          </p>
          <p>{m.prestige.loss}</p>
          <div className="actions">
            <button type="button" onClick={() => setAsking(false)}>
              {m.prestige.cancel}
            </button>
            <button type="button" className="primary" data-testid="prestige-confirm" onClick={begin}>
              {m.prestige.confirm}
            </button>
          </div>
        </Dialog>
      )}
    </div>
  );
}
