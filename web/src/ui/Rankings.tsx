import { useEffect, useRef, useState } from "react";
import type { Board, RankingEntry } from "../client";
import { useClient, useLoaded, usePlayerId } from "../hooks";
import { useWords } from "../i18n";
import { Loading } from "./Loading";
import css from "./lists.module.css";

const BOARDS: Board[] = ["lifetime_energy", "energy_per_second", "season"];
type Part = "top" | "around" | "seasons";
/** How often a shown list is loaded again. */
const REFRESH_MS = 10_000;

export default function Rankings() {
  const { m } = useWords();
  const [board, setBoard] = useState<Board>("lifetime_energy");
  const [part, setPart] = useState<Part>("top");
  return (
    <div className={css.view}>
      <h1>{m.rankings.title}</h1>
      <section className={css.panel}>
        <div className={css.tabs}>
          {BOARDS.map((it) => (
            <button
              key={it}
              type="button"
              aria-pressed={board === it && part !== "seasons"}
              onClick={() => {
                setBoard(it);
                if (part === "seasons") setPart("top");
              }}
            >
              {m.rankings.boards[it]}
            </button>
          ))}
          <button type="button" aria-pressed={part === "seasons"} onClick={() => setPart("seasons")}>
            {m.rankings.pastSeasons}
          </button>
        </div>
        {part === "seasons" ? (
          <Seasons />
        ) : (
          <>
            <div className={css.tabs}>
              {(["top", "around"] as const).map((it) => (
                <button key={it} type="button" aria-pressed={part === it} onClick={() => setPart(it)}>
                  {m.rankings[it]}
                </button>
              ))}
            </div>
            {part === "top" ? <Top board={board} /> : <Around board={board} />}
          </>
        )}
      </section>
    </div>
  );
}

/** Loads again now and then while the page is visible. */
function useRefresh(retry: () => void) {
  const latest = useRef(retry);
  latest.current = retry;
  useEffect(() => {
    const timer = setInterval(() => document.visibilityState === "visible" && latest.current(), REFRESH_MS);
    return () => clearInterval(timer);
  }, []);
}

function Top({ board }: { board: Board }) {
  const client = useClient();
  const { m, number } = useWords();
  const [loaded, retry] = useLoaded(`top ${board}`, () => client.rankings(board));
  useRefresh(retry);
  return (
    <Loading loaded={loaded} retry={retry}>
      {(list) => (
        <>
          <p className={css.quiet}>
            {m.rankings.players(number(list.total_players))} {list.stale && m.rankings.stale}
          </p>
          <Entries entries={list.entries} />
        </>
      )}
    </Loading>
  );
}

function Around({ board }: { board: Board }) {
  const client = useClient();
  const { m, number } = useWords();
  const [loaded, retry] = useLoaded(`around ${board}`, () => client.ownRanking(board));
  useRefresh(retry);
  return (
    <Loading loaded={loaded} retry={retry}>
      {(own) => (
        <>
          <p>
            <b>{m.rankings.yourRank(number(own.rank), number(Math.floor(own.percentile * 10) / 10))}</b>
          </p>
          <Entries entries={own.entries} />
        </>
      )}
    </Loading>
  );
}

function Seasons() {
  const client = useClient();
  const { m, day } = useWords();
  const [chosen, setChosen] = useState<string | undefined>();
  const [loaded, retry] = useLoaded("seasons", () => client.seasons());
  return (
    <Loading loaded={loaded} retry={retry}>
      {(list) => {
        const past = list.entries.filter((it) => it.state !== "running");
        const id = chosen ?? past[0]?.id;
        if (id === undefined) return <p className={css.quiet}>{m.rankings.noSeasons}</p>;
        return (
          <>
            <div className={css.tabs}>
              {past.map((it) => (
                <button key={it.id} type="button" aria-pressed={it.id === id} onClick={() => setChosen(it.id)}>
                  {m.rankings.seasonOf(day(it.starts_at), day(it.ends_at))}
                </button>
              ))}
            </div>
            <SeasonStandings id={id} />
          </>
        );
      }}
    </Loading>
  );
}

function SeasonStandings({ id }: { id: string }) {
  const client = useClient();
  const [loaded, retry] = useLoaded(`season ${id}`, () => client.seasonRankings(id));
  return (
    <Loading loaded={loaded} retry={retry}>
      {(list) => <Entries entries={list.entries} />}
    </Loading>
  );
}

function Entries({ entries }: { entries: RankingEntry[] }) {
  const { m, number } = useWords();
  const player = usePlayerId();
  if (entries.length === 0) return <p className={css.quiet}>{m.rankings.empty}</p>;
  return (
    <div className={css.scroll}>
      <table className={css.table}>
        <thead>
          <tr>
            <th>{m.rankings.rank}</th>
            <th>{m.rankings.player}</th>
            <th className={css.end}>{m.rankings.score}</th>
          </tr>
        </thead>
        <tbody>
          {entries.map((it) => {
            const isMe = it.player_id === player;
            return (
              <tr key={it.player_id} data-me={isMe}>
                <td>{number(it.rank)}</td>
                <td>
                  <bdi>{it.display_name}</bdi> {isMe && <small>({m.rankings.you})</small>}
                </td>
                <td className={css.end}>{number(it.score)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}
