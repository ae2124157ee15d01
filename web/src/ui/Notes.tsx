import { useEffect, useRef, useState } from "react";
import { useClient, useGame, useNews } from "../hooks";
import { useWords } from "../i18n";
import { explain } from "./explain";
import css from "./notes.module.css";

/** Says that the server cannot be reached, and that nothing is lost; or that the player may not play. */
export function ConnectionNote() {
  const { m } = useWords();
  const { connection, blocked } = useGame();
  const [isShown, setShown] = useState(false);
  useEffect(() => {
    if (connection !== "offline") {
      setShown(false);
      return;
    }
    const timer = setTimeout(() => setShown(true), 600);
    return () => clearTimeout(timer);
  }, [connection]);
  if (blocked !== undefined) {
    return (
      <p className={css.offline} role="status" data-testid="blocked">
        {explain(blocked, m)} <small>{m.blockedHint}</small>
      </p>
    );
  }
  if (!isShown) return null;
  return (
    <p className={css.offline} role="status">
      {m.unreachable} <small>{m.offlineHint}</small>
    </p>
  );
}

/** What happened while the player was away, until it is dismissed. */
export function AwayNote() {
  const { game } = useClient();
  const { absence } = useGame();
  const { m, number, span } = useWords();
  if (absence === undefined || absence.seconds < 120) return null;
  const isCapped = absence.credited_seconds < absence.seconds - 1;
  return (
    <section className={css.away} aria-labelledby="away-title">
      <h2 id="away-title">{m.away.title}</h2>
      <p>{m.away.text(span(absence.seconds), number(absence.energy))}</p>
      {isCapped && <p>{m.away.capped(span(absence.credited_seconds))}</p>}
      <button type="button" onClick={() => game.dismissAbsence()}>
        {m.away.close}
      </button>
    </section>
  );
}

/** Refused actions, and summaries for screen readers: not every tick, but now and then. */
export function Messages() {
  const { game } = useClient();
  const { refusal, rejectedClicks, state } = useGame();
  const { m, number } = useWords();
  const [summary, setSummary] = useState("");
  const latest = useRef({ m, number });
  latest.current = { m, number };
  useEffect(() => {
    const timer = setInterval(() => {
      const { state } = game.snapshot;
      if (state === undefined) return;
      const words = latest.current;
      setSummary(words.m.milestone(words.number(game.energy()), words.number(state.energy_per_second)));
    }, 30_000);
    return () => clearInterval(timer);
  }, [game]);
  const { notifications } = useClient();
  const { arrived } = useNews();
  // Others wait in the list.
  const important = arrived === undefined ? "" : `${m.news.high} ${arrived.title}`;
  const text =
    refusal !== undefined ? explain(refusal, m) : rejectedClicks > 0 ? m.tooFast(number(rejectedClicks)) : important;
  // biome-ignore lint/correctness/useExhaustiveDependencies: another message is shown for as long as the one before
  useEffect(() => {
    if (text === "") return;
    const dismiss = () => (text === important ? notifications.dismissArrived() : game.dismissRefusal());
    const timer = setTimeout(dismiss, text === important ? 8000 : 4000);
    return () => clearTimeout(timer);
  }, [text, game, state?.version]);
  return (
    <>
      <p className={css.message} role="status" data-shown={text !== ""}>
        {text}
      </p>
      <p className="hidden" role="status">
        {summary}
      </p>
    </>
  );
}
