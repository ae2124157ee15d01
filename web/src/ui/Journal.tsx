import { useState } from "react";
import type { LedgerEntry } from "../client";
import { useClient, useGame, useLoaded } from "../hooks";
import { useWords } from "../i18n";
import { Loading } from "./Loading";
import css from "./lists.module.css";

/** The ledger: every purchase, and what was earned before it. */
export default function Journal() {
  const client = useClient();
  const { m, number, time, item } = useWords();
  const { state, catalog } = useGame();
  const [older, setOlder] = useState<{ entries: LedgerEntry[]; cursor: string | null } | undefined>();
  const [loaded, retry] = useLoaded(`ledger ${state?.player_id}`, () => client.ledger());
  const nameOf = (id: string) => {
    const known = [...(catalog?.generators ?? []), ...(catalog?.upgrades ?? [])].find((it) => it.id === id);
    return known === undefined ? id : item(known);
  };
  return (
    <div className={css.view}>
      <h1>{m.journal.title}</h1>
      <section className={css.panel}>
        <Loading loaded={loaded} retry={retry}>
          {(first) => {
            const entries = [...first.entries, ...(older?.entries ?? [])];
            const cursor = older === undefined ? first.next_cursor : older.cursor;
            const more = async () => {
              if (cursor === null) return;
              const page = await client.ledger(cursor);
              setOlder({ entries: [...(older?.entries ?? []), ...page.entries], cursor: page.next_cursor });
            };
            if (entries.length === 0) return <p className={css.quiet}>{m.journal.empty}</p>;
            return (
              <>
                <div className={css.scroll}>
                  <table className={css.table}>
                    <thead>
                      <tr>
                        <th>{m.journal.time}</th>
                        <th>{m.journal.entry}</th>
                        <th className={css.end}>{m.journal.earned}</th>
                        <th className={css.end}>{m.journal.change}</th>
                        <th className={css.end}>{m.journal.balance}</th>
                      </tr>
                    </thead>
                    <tbody>
                      {entries.map((it) => (
                        <tr key={it.id}>
                          <td>{time(it.at)}</td>
                          <td>
                            {m.journal.kinds[it.kind] ?? it.kind}: <bdi>{nameOf(it.reference)}</bdi>
                          </td>
                          <td className={css.end}>{number(it.earned)}</td>
                          <td className={css.end}>{number(it.delta)}</td>
                          <td className={css.end}>{number(it.balance_after)}</td>
                        </tr>
                      ))}
                    </tbody>
                  </table>
                </div>
                {cursor !== null && (
                  <button type="button" onClick={() => void more().catch(retry)}>
                    {m.journal.more}
                  </button>
                )}
              </>
            );
          }}
        </Loading>
      </section>
    </div>
  );
}
